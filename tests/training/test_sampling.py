"""PK batches and paired augmentation."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from training.augment import augment_pairs, draw
from training.config import AugmentConfig, OptimiserConfig
from training.device import Normalise
from training.pair_store import Pairs, PairStore, fits
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
    with pytest.raises(ValueError, match="a batch needs at least two identities"):
        PKSampler([5, 6], identities_per_batch=1, per_identity=2, seed=0)


def grid(b: int = 8, h: int = 32, w: int = 16) -> Tensor:
    """Images of random pixels, none zero."""
    return torch.randint(1, 128, (b, h, w, 3), generator=torch_generator(0, "grid"), dtype=torch.uint8)


class AsTheyAre(Normalise):
    """Leaves the pixels' values: zero is what was padded or erased."""

    def __init__(self) -> None: ...

    def __call__(self, x: Tensor) -> Tensor:
        return x


def augmented(hr: Tensor, sr: Tensor, config: AugmentConfig) -> tuple[Tensor, Tensor]:
    """(B, H, W, 3) each, like what goes in."""
    draws = draw(len(hr), (hr.shape[1], hr.shape[2]), config, torch_generator(0, "test"))
    hr, sr = augment_pairs(hr, sr, draws, AsTheyAre())
    assert hr.is_contiguous(memory_format=torch.channels_last)
    return hr.permute(0, 2, 3, 1), sr.permute(0, 2, 3, 1)


@pytest.mark.parametrize(
    "config", [AugmentConfig(), AugmentConfig(erasing=1.0), AugmentConfig(flip=0, padding=40)]
)
def test_hr_and_sr_of_a_pair_are_changed_alike(config: AugmentConfig) -> None:
    hr, sr = augmented(grid(), 2 * grid(), config)
    assert torch.equal(2 * hr, sr)
    assert not torch.equal(hr, grid())


def test_pairs_are_changed_differently_from_each_other() -> None:
    same = grid(1).expand(16, -1, -1, -1)
    hr, _ = augmented(same, same, AugmentConfig())
    assert len({image.numpy().tobytes() for image in hr}) > 8


def test_without_augmentation_nothing_changes() -> None:
    hr, sr = augmented(grid(), grid(), AugmentConfig(flip=0.0, padding=0, erasing=0.0))
    assert torch.equal(hr, grid()) and torch.equal(sr, grid())


def test_a_flip_is_a_flip() -> None:
    flipped, _ = augmented(grid(), grid(), AugmentConfig(flip=1.0, padding=0))
    assert torch.equal(flipped, grid().flip(2))


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_a_crop_is_a_cut_from_the_padded_image(flip: float) -> None:
    config = AugmentConfig(flip=flip, padding=32)  # 4 at this height
    draws = draw(8, (32, 16), config, torch_generator(0, "test")).numbers
    moved, _ = augmented(grid(), grid(), config)
    assert len(set(draws[:, 1].tolist())) > 2
    for image, original, (_, top, left, *_) in zip(moved, grid(), draws.tolist(), strict=True):
        padded = F.pad(original.permute(2, 0, 1), (4, 4, 4, 4)).permute(1, 2, 0)
        cut = padded[top : top + 32, left : left + 16]
        assert torch.equal(image, cut.flip(1) if flip else cut)


def test_erasing_takes_a_box_of_each_image() -> None:
    hr, _ = augmented(grid(), grid(), AugmentConfig(flip=0.0, padding=0, erasing=1.0))
    for image in hr:
        erased = (image == 0).all(dim=2)
        assert 0.01 < erased.float().mean() < 0.45
        rows, columns = erased.any(1), erased.any(0)
        assert torch.equal(erased, rows.unsqueeze(1) & columns.unsqueeze(0))


@pytest.mark.parametrize("memory", [0, 2**30])
def test_a_batch_of_the_store_is_its_pairs_normalised_wherever_they_lie(memory: int) -> None:
    random = np.random.default_rng(0)
    hr, sr = random.integers(0, 256, (2, 6, 8, 4, 3), dtype=np.uint8)
    store = PairStore(Pairs(hr, sr, [0, 0, 1, 1, 2, 2]), torch.device("cpu"), memory)
    off = draw(3, store.size, AugmentConfig(flip=0.0, padding=0), torch_generator(0, "test"))
    x, y, labels = store.batch(np.array([5, 0, 2]), off)
    assert labels.tolist() == [2, 0, 1]
    for batch, pixels in ((x, hr), (y, sr)):
        expected = (pixels[[5, 0, 2]] / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
        np.testing.assert_allclose(batch.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)


def test_pixels_stay_on_a_gpu_when_they_leave_three_quarters_of_its_memory() -> None:
    market = 2 * 12_936 * 256 * 128 * 3
    assert fits(market, 24 * 2**30) and not fits(market, 8 * 2**30)


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
