"""How good a crop is: its size, its shape and its sharpness, and which configured limits it misses."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.bundle.manifest import Manifest
from service.settings import Settings

_LUMA = np.array((0.299, 0.587, 0.114), np.float32)


@dataclass(frozen=True, slots=True)
class Quality:
    """`aspect` is height / width; `blur` is lower for less sharp crops; `flags` name the limits missed."""

    height: int
    width: int
    aspect: float
    blur: float
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QualityLimits:
    min_height: int
    min_blur: float
    min_aspect: float
    max_aspect: float

    @classmethod
    def of(cls, settings: Settings, manifest: Manifest) -> "QualityLimits":
        return cls(
            min_height=settings.flag_height or manifest.hr_reference_height // 2,
            min_blur=settings.flag_blur,
            min_aspect=settings.flag_aspect_min,
            max_aspect=settings.flag_aspect_max,
        )

    def flags(self, height: int, aspect: float, blur: float) -> tuple[str, ...]:
        missed = {
            "low": height < self.min_height,
            "blurred": blur < self.min_blur,
            "wide": aspect < self.min_aspect,
            "narrow": aspect > self.max_aspect,
        }
        return tuple(name for name, is_missed in missed.items() if is_missed)


def measure(image: Image.Image, limits: QualityLimits, reference_height: int) -> Quality:
    aspect = image.height / image.width
    blur = sharpness(_at_most(image, reference_height))
    return Quality(image.height, image.width, aspect, blur, limits.flags(image.height, aspect, blur))


def sharpness(image: Image.Image) -> float:
    """Variance of the Laplacian (4 neighbours) of the luma, over the pixels that have all four."""
    rgb = np.asarray(image, np.float32)  # (h, w, 3)
    luma: NDArray[np.float32] = rgb @ _LUMA  # (h, w)
    if min(luma.shape) < 3:
        return 0.0
    centre = luma[1:-1, 1:-1]
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * centre
    return float(laplacian.var())


def _at_most(image: Image.Image, height: int) -> Image.Image:
    """Larger crops are reduced first: noise at full size says nothing about the person."""
    if image.height <= height:
        return image
    width = max(3, round(image.width * height / image.height))
    return image.resize((width, height), Image.Resampling.BILINEAR)
