"""Draws a person as one camera sees them: a crop like the ones that a person detector cuts out."""

from random import Random

import numpy as np
from PIL import Image, ImageFilter

from service.demo.figure import draw_figure
from service.demo.people import Person
from service.demo.scene import Camera, Size, background, expose

CROP: Size = (128, 256)  # a sharp crop: width, height
SUPERSAMPLING = 3


def draw_crop(person: Person, camera: Camera, seed: int) -> Image.Image:
    """The person before the camera, RGB, `CROP` in size; another seed gives another pose and background."""
    rng = Random(f"{person.name} {camera.name} {seed}")
    size = (CROP[0] * SUPERSAMPLING, CROP[1] * SUPERSAMPLING)
    picture = background(camera, size, rng)
    figure = draw_figure(person, camera.view, size, rng)
    picture.paste(_lit(figure, rng), mask=figure.getchannel("A"))
    return expose(picture.resize(CROP, Image.Resampling.BOX), camera, rng)


def low_resolution(crop: Image.Image, ratio: int) -> Image.Image:
    """The crop as a camera `ratio` times further away would have caught it: averaged over areas."""
    size = (crop.width // ratio, crop.height // ratio)
    return crop.resize(size, Image.Resampling.BOX)


def _lit(figure: Image.Image, rng: Random) -> Image.Image:
    """Light from one side, and folds in the cloth."""
    width, height = figure.size
    side = np.linspace(1.14, 0.80, width, dtype=np.float32)[None, :]  # (1, W)
    noise = np.random.default_rng(rng.getrandbits(32)).normal(128, 60, (height // 24, width // 24))
    coarse = Image.fromarray(np.clip(noise, 0, 255).astype(np.uint8))
    folds = coarse.resize(figure.size, Image.Resampling.BICUBIC)
    shade = side * (1 + (np.asarray(folds, np.float32) - 128) / 128 * 0.12)  # (H, W)
    colours = np.asarray(figure.convert("RGB"), np.float32) * shade[:, :, None]
    lit = Image.fromarray(np.clip(colours, 0, 255).astype(np.uint8))
    return lit.filter(ImageFilter.GaussianBlur(SUPERSAMPLING / 2))
