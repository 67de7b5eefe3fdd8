"""The real crops that the gate compares on: as the encoders and the super-resolvers get them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from model.bundle.preprocessing import ImageLimits, Pixels, decode, resize
from training.data.area import area_downsample

ENOUGH = 64
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp"}


class TooFewCrops(ValueError):
    """The folder does not hold enough images to judge parity on."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The native input size of one scale."""

    scale: int
    height: int
    width: int


def read_crops(folder: Path, count: int = ENOUGH) -> list[Image.Image]:
    """`count` images spread evenly over the folder, in order of name; a damaged one is an ImageError."""
    files = sorted(f for f in folder.rglob("*") if f.suffix.lower() in _SUFFIXES)
    if len(files) < count:
        raise TooFewCrops(f"{folder} holds {len(files)} images; the parity gate needs {count}")
    chosen = [files[i * len(files) // count] for i in range(count)]
    return [decode(file.read_bytes(), ImageLimits()) for file in chosen]


def as_input(crops: Sequence[Image.Image], height: int, width: int) -> Pixels:
    """uint8 (N, height, width, 3)."""
    return np.stack([resize(crop, height, width) for crop in crops])


def as_low_resolution(crops: Sequence[Image.Image], bucket: Bucket) -> Pixels:
    """uint8 (N, *bucket, 3): the crops shrunk by the bucket's scale, as in training."""
    large = as_input(crops, bucket.height * bucket.scale, bucket.width * bucket.scale)
    return area_downsample(large, bucket.scale)
