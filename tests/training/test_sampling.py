"""PK batches and paired augmentation."""

import numpy as np
import pytest
import torch

from training.augment import augment_pairs
from training.config import AugmentConfig, OptimiserConfig
from training.sampler import PKSampler
from training.schedule import cosine, halving, rate
from training.seeds import torch_generator

LABELS = [identity for identity, count in enumerate([1, 2, 3, 7, 12, 5]) for _ in range(count)]


def sampler(seed: int = 0) -> PKSampler:
    return PKSampler(LABELS, identities_per_batch=4, per_identity=3, seed=seed)


def test_a_batch_holds_p_identities_with_k_images_each() -> None:
    labels = np.asarray(LABELS)
    for step in range(50):
        chosen = labels[sampler().batch(step)].reshape(4, 3)
        assert (chosen == chosen[:, :1]).all()
        assert len(set(chosen[:, 0].tolist())) == 4


def test_only_small_identities_repeat_an_image() -> None:
    counts = np.bincount(LABELS)
    labels = np.asarray(LABELS)
    for step in range(50):
        for images in sampler().batch(step).reshape(4, 3):
            repeated = len(set(images.tolist())) < 3
            assert repeated == (counts[labels[images[0]]] < 3)


def test_any_step_can_be_drawn_on_its_own() -> None:
    forwards = [sampler().batch(step).tolist() for step in range(20)]
    one = sampler()
    backwards = [one.batch(step).tolist() for step in reversed(range(20))]
    assert forwards == backwards[::-1]
    assert forwards != [sampler(seed=1).batch(step).tolist() for step in range(20)]


def test_every_identity_comes_up_equally_often() -> None:
    labels = np.asarray(LABELS)
    one = PKSampler(LABELS * 40, identities_per_batch=4, per_identity=3, seed=0)  # 100 steps an epoch
    seen = np.bincount(
        np.concatenate([np.tile(labels, 40)[one.batch(s)] for s in range(one.steps_per_epoch)])
    )
    assert seen.max() - seen.min() <= 3  # at most one visit apart


def test_one_identity_is_not_enough() -> None:
    with pytest.raises(ValueError, match="at least two identities"):
        PKSampler([5, 5, 5], identities_per_batch=2, per_identity=2, seed=0)


def grid(b: int = 8, h: int = 32, w: int = 16) -> torch.Tensor:
    """Every pixel of every image different, none zero."""
    return torch.arange(1, b * 3 * h * w + 1, dtype=torch.float32).reshape(b, 3, h, w)


@pytest.mark.parametrize(
    "config", [AugmentConfig(), AugmentConfig(erasing=1.0), AugmentConfig(flip=0, padding=40)]
)
def test_hr_and_sr_of_a_pair_are_changed_alike(config: AugmentConfig) -> None:
    hr, sr = augment_pairs(grid(), 2 * grid(), config, torch_generator(0, "test"))
    assert torch.equal(2 * hr, sr)
    assert not torch.equal(hr, grid())


def test_pairs_are_changed_differently_from_each_other() -> None:
    same = grid(1).expand(16, -1, -1, -1)
    hr, _ = augment_pairs(same, same, AugmentConfig(), torch_generator(0, "test"))
    assert len({image.numpy().tobytes() for image in hr}) > 8


def test_without_augmentation_nothing_changes() -> None:
    off = AugmentConfig(flip=0.0, padding=0, erasing=0.0)
    hr, sr = augment_pairs(grid(), grid(), off, torch_generator(0, "test"))
    assert torch.equal(hr, grid()) and torch.equal(sr, grid())


def test_a_flip_is_a_flip_and_a_crop_is_a_shift() -> None:
    flipped, _ = augment_pairs(grid(), grid(), AugmentConfig(flip=1.0, padding=0), torch_generator(0, "t"))
    assert torch.equal(flipped, grid().flip(3))
    moved, _ = augment_pairs(grid(), grid(), AugmentConfig(flip=0.0, padding=16), torch_generator(0, "t"))
    for image, original in zip(
        moved, grid(), strict=True
    ):  # what is left of the original lies shifted as a block
        kept = image[0] > 0
        rows, columns = kept.any(1).nonzero().flatten(), kept.any(0).nonzero().flatten()
        block = image[0][rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        top, left = ((original[0] == block[0, 0]).nonzero()[0]).tolist()
        assert torch.equal(block, original[0, top : top + block.shape[0], left : left + block.shape[1]])


def test_erasing_takes_a_box_of_each_image() -> None:
    config = AugmentConfig(flip=0.0, padding=0, erasing=1.0)
    hr, _ = augment_pairs(grid(), grid(), config, torch_generator(0, "test"))
    erased = (hr == 0).float().mean(dim=(1, 2, 3))
    assert ((erased > 0.01) & (erased < 0.45)).all()


def test_the_papers_rates() -> None:
    config = OptimiserConfig()
    at = {
        epoch: rate(config, round(epoch * 100), 7000, 100) for epoch in (0, 2.5, 5, 29.9, 30, 59.9, 60, 69.9)
    }
    assert at[0] == pytest.approx(3e-4)
    assert at[2.5] == pytest.approx((3e-4 + 1.3e-2) / 2)
    assert (at[5], at[29.9]) == pytest.approx((1.3e-2, 1.3e-2))
    assert (at[30], at[59.9]) == pytest.approx((1.3e-3, 1.3e-3))
    assert (at[60], at[69.9]) == pytest.approx((1.3e-4, 1.3e-4))


def test_cosine_and_halving_end_low() -> None:
    assert (
        cosine(0, 100, 1.0) == 1.0
        and cosine(50, 100, 1.0) == pytest.approx(0.5)
        and cosine(99, 100, 1.0) < 1e-3
    )
    assert [halving(step, 100, 1.0) for step in (0, 19, 20, 99)] == [1.0, 1.0, 0.5, 1 / 16]
