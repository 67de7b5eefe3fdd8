"""Each limit of the gate, and what the crops must be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.export.gate import Limits, encoder_failures, rank1_failures, resolver_failures
from training.export.parity import EncoderParity, ResolverParity
from training.export.pictures import Bucket, TooFewCrops, as_input, as_low_resolution, read_crops

GOOD = EncoderParity(
    max_difference=1e-6,
    min_cosine=0.99999,
    max_batch_difference=1e-7,
    max_norm_error=1e-7,
    swapped_cosine=0.8,
)
FLAWLESS = ResolverParity(max_levels=1, differing=5e-4, mean_levels=5e-4)


def test_a_good_encoder_passes_in_both_precisions() -> None:
    assert encoder_failures("hr", GOOD, "float32", Limits()) == []
    rounded = replace(GOOD, max_difference=5e-3, min_cosine=0.9991)
    assert encoder_failures("hr", rounded, "float16", Limits()) == []


@pytest.mark.parametrize(
    ("flaw", "reason"),
    [
        ({"max_difference": 2e-4}, "max |Δ| is 0.0002"),
        ({"min_cosine": 0.9998}, "min cosine is 0.9998"),
        ({"max_batch_difference": 2e-5}, "batch rows against single runs is 2e-05"),
        ({"max_norm_error": 2e-5}, "error of the norm is 2e-05"),
        ({"swapped_cosine": 0.999995}, "cosine with swapped channels is 0.999995"),
    ],
)
def test_each_flaw_of_an_encoder_is_named(flaw: dict[str, float], reason: str) -> None:
    assert encoder_failures("hr.onnx", replace(GOOD, **flaw), "float32", Limits()) == [
        f"hr.onnx (float32 weights): {reason}"
    ]


def test_a_flaw_that_is_not_a_number_fails() -> None:
    assert len(encoder_failures("hr", replace(GOOD, max_difference=np.nan), "float32", Limits())) == 1


@pytest.mark.parametrize(
    ("found", "failures"),
    [(FLAWLESS, 0), (replace(FLAWLESS, max_levels=2), 1), (replace(FLAWLESS, differing=2e-3), 1)],
)
def test_each_flaw_of_a_resolver_counts(found: ResolverParity, failures: int) -> None:
    assert len(resolver_failures("x2", found, "float32", Limits())) == failures


def test_a_rounded_resolver_may_move_many_samples_a_little() -> None:
    assert resolver_failures("x2", ResolverParity(1, 0.01, 0.01), "float16", Limits()) == []
    assert len(resolver_failures("x2", ResolverParity(1, 0.3, 0.3), "float16", Limits())) == 1


def test_bfloat16_may_cost_a_third_of_a_point_at_most() -> None:
    assert rank1_failures(90.0, 89.75, Limits()) == []
    assert "from 90.00 in float32 to 89.60" in rank1_failures(90.0, 89.6, Limits())[0]


def test_crops_are_spread_over_the_folder(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for i in range(20):
        Image.new("RGB", (32, 64), (i, 0, 0)).save(tmp_path / "inner" / f"{i:02}.png")
    (tmp_path / "notes.txt").write_text("no image")
    assert [crop.getpixel((0, 0)) for crop in read_crops(tmp_path, 4)] == [(i, 0, 0) for i in (0, 5, 10, 15)]
    with pytest.raises(TooFewCrops, match="holds 20 images; the parity gate needs 64"):
        read_crops(tmp_path)


def test_low_resolution_crops_are_the_pixel_areas_means() -> None:
    rng = np.random.default_rng(0)
    crop = Image.fromarray(rng.integers(0, 256, (126, 63, 3), dtype=np.uint8))
    low = as_low_resolution([crop, crop], Bucket(3, 42, 21))
    assert low.shape == (2, 42, 21, 3)
    expected = as_input([crop], 126, 63)[0, :3, :3].reshape(9, 3).mean(axis=0)
    np.testing.assert_allclose(low[0, 0, 0], expected, atol=0.5)
