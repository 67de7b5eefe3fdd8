"""Small drawn people for tests: what tells them apart is the colour of their clothes."""

import io
import random

from PIL import Image, ImageDraw

Colour = tuple[int, int, int]


def person(seed: int, height: int = 64, variant: int = 0) -> Image.Image:
    """One person; another `variant` is another picture of the same one."""
    clothes = random.Random(seed)
    shade = random.Random(f"{seed}/{variant}")
    width = height // 2
    image = Image.new("RGB", (width, height), _near((120, 120, 120), 12, shade))
    draw = ImageDraw.Draw(image)
    bands: list[Colour] = [tuple(clothes.randrange(256) for _ in range(3)) for _ in range(5)]  # type: ignore[misc]
    for number, colour in enumerate(bands):
        top = number * height // 5
        draw.rectangle((width // 4, top, width - width // 4 - 1, top + height // 5), _near(colour, 6, shade))
    for _ in range(height):
        draw.point((shade.randrange(width), shade.randrange(height)), _near((128, 128, 128), 100, shade))
    return image


def low_resolution(image: Image.Image, ratio: int) -> Image.Image:
    return image.resize((image.width // ratio, image.height // ratio), Image.Resampling.BOX)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _near(colour: Colour, spread: int, source: random.Random) -> Colour:
    return tuple(min(255, max(0, c + source.randint(-spread, spread))) for c in colour)  # type: ignore[return-value]
