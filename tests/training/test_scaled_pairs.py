"""RCAN's pairs made once are those that were made batch by batch."""

import numpy as np
import pytest
import torch

from training.data.area import area_downsample
from training.packed import fitted
from training.scaled_pairs import ScaledPairs, pair

IMAGES = np.random.default_rng(0).integers(0, 256, (9, 32, 16, 3), dtype=np.uint8)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("flip", [False, True])
def test_a_batch_is_the_chosen_images_and_their_low_twins_perhaps_mirrored(scale: int, flip: bool) -> None:
    chosen = np.array([7, 1, 1])
    low, high = ScaledPairs(IMAGES, (2, 3, 4), torch.device("cpu")).batch(scale, chosen, flip)
    images = IMAGES[chosen][:, :, ::-1] if flip else IMAGES[chosen]
    expected = area_downsample(images, scale)
    size = (expected.shape[1] * scale, expected.shape[2] * scale)
    assert np.array_equal(low.permute(0, 2, 3, 1).numpy(), expected)
    assert np.array_equal(high.permute(0, 2, 3, 1).numpy(), [fitted(image, size) for image in images])


def test_images_that_fit_are_not_copied() -> None:
    assert pair(IMAGES, 4)[1] is IMAGES and pair(IMAGES, 3)[1].shape == (9, 30, 15, 3)
