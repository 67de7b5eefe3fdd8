"""The quality figures against slow loops, and what they are for."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from service.quality import QualityLimits, measure, sharpness
from tests.support.pictures import person

LIMITS = QualityLimits(min_height=32, min_blur=60, min_aspect=1.2, max_aspect=5)


def slow_sharpness(image: Image.Image) -> float:
    rgb = np.asarray(image, np.float64)
    luma = 0.299 * rgb[..., 0] + 0.587 * rgb[..., 1] + 0.114 * rgb[..., 2]
    found = [
        luma[y - 1, x] + luma[y + 1, x] + luma[y, x - 1] + luma[y, x + 1] - 4 * luma[y, x]
        for y in range(1, luma.shape[0] - 1)
        for x in range(1, luma.shape[1] - 1)
    ]
    return float(np.var(found))


@pytest.mark.parametrize("seed", range(5))
def test_sharpness_is_the_variance_of_the_laplacian(seed: int) -> None:
    image = person(seed)
    assert sharpness(image) == pytest.approx(slow_sharpness(image), rel=1e-3)


def test_blur_lowers_it() -> None:
    image = person(1, 128)
    values = [sharpness(image.filter(ImageFilter.GaussianBlur(radius))) for radius in (0, 1, 2, 4)]
    assert values == sorted(values, reverse=True)
    assert sharpness(Image.new("RGB", (40, 80), (9, 9, 9))) == pytest.approx(0, abs=1e-3)


def test_a_picture_without_an_inside_has_none() -> None:
    assert sharpness(Image.new("RGB", (2, 40))) == 0.0


@pytest.mark.parametrize(
    ("size", "flags"),
    [
        ((32, 64), ()),
        ((16, 31), ("low",)),
        ((64, 64), ("wide",)),
        ((10, 64), ("narrow",)),
        ((30, 30), ("low", "wide")),
    ],
)
def test_flags_name_the_missed_limits(size: tuple[int, int], flags: tuple[str, ...]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    found = measure(Image.fromarray(noise), LIMITS, 64)
    assert found.flags == flags and (found.width, found.height) == size
    assert found.aspect == size[1] / size[0]
