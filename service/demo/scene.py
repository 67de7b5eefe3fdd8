"""The two cameras: where they stand, what is behind the people, and what their sensors do to colour."""

from dataclasses import dataclass
from random import Random
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from service.demo.people import Colour

Size = tuple[int, int]  # width, height


@dataclass(frozen=True, slots=True)
class Camera:
    """`gain` is the colour cast per channel; `gamma` above 1 darkens; `noise` is in grey levels."""

    name: str
    background: Literal["street", "park"]
    view: Literal["front", "back"]
    gain: tuple[float, float, float]
    gamma: float
    noise: float
    blur: float  # standard deviation in pixels of a crop 256 high


ENTRANCE = Camera("entrance", "street", "front", gain=(1.05, 1.0, 0.93), gamma=0.95, noise=2.0, blur=0.3)
CAR_PARK = Camera("car-park", "park", "back", gain=(0.90, 0.98, 1.08), gamma=1.12, noise=5.0, blur=0.7)


def background(camera: Camera, size: Size, rng: Random) -> Image.Image:
    """What stands behind the person, out of focus, different at every call."""
    picture = Image.new("RGB", size)
    draw = ImageDraw.Draw(picture)
    (_street if camera.background == "street" else _park)(draw, size, rng)
    return picture.filter(ImageFilter.GaussianBlur(size[1] / 110))


def _street(draw: ImageDraw.ImageDraw, size: Size, rng: Random) -> None:
    width, height = size
    wall, pavement = _near((168, 158, 146), rng), _near((118, 116, 114), rng)
    horizon = height * rng.uniform(0.60, 0.72)
    draw.rectangle((0, 0, width, horizon), fill=wall)
    draw.rectangle((0, horizon, width, height), fill=pavement)
    for _ in range(rng.randint(1, 3)):  # windows and doors
        left, top = rng.uniform(-0.2, 0.9) * width, rng.uniform(0.0, 0.3) * height
        right, bottom = left + rng.uniform(0.2, 0.5) * width, top + rng.uniform(0.15, 0.35) * height
        draw.rectangle((left, top, right, bottom), fill=_near((84, 92, 104), rng))
    for step in range(1, 4):  # joints between the paving stones
        level = horizon + (height - horizon) * step / 4
        draw.line((0, level, width, level), fill=_near((98, 96, 94), rng), width=max(1, height // 200))


def _park(draw: ImageDraw.ImageDraw, size: Size, rng: Random) -> None:
    width, height = size
    horizon = height * rng.uniform(0.45, 0.58)
    draw.rectangle((0, 0, width, horizon), fill=_near((150, 166, 178), rng))
    draw.rectangle((0, horizon, width, height), fill=_near((134, 138, 122), rng))
    for _ in range(rng.randint(3, 6)):  # hedges
        x, radius = rng.uniform(-0.1, 1.1) * width, rng.uniform(0.15, 0.35) * width
        draw.ellipse(
            (x - radius, horizon - radius, x + radius, horizon + radius), fill=_near((70, 96, 62), rng)
        )
    x = rng.uniform(-0.4, 0.8) * width  # a parked car
    draw.rectangle((x, horizon * 0.95, x + width * 0.7, horizon * 1.25), fill=_near((120, 116, 124), rng))


def expose(picture: Image.Image, camera: Camera, rng: Random) -> Image.Image:
    """The crop as the camera's sensor delivers it: blur, gamma, colour cast, noise."""
    blurred = picture.filter(ImageFilter.GaussianBlur(camera.blur * picture.height / 256))
    light = np.asarray(blurred, np.float32) / 255
    exposed = light**camera.gamma * np.array(camera.gain, np.float32) * rng.uniform(0.94, 1.06) * 255
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0, camera.noise, exposed.shape)
    return Image.fromarray(np.clip(exposed + noise, 0, 255).astype(np.uint8))


def _near(colour: Colour, rng: Random, spread: int = 14) -> Colour:
    shift = rng.randint(-spread, spread)
    red, green, blue = (min(255, max(0, channel + shift + rng.randint(-5, 5))) for channel in colour)
    return red, green, blue
