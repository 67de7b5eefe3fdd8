"""Scores become probabilities and thresholds by the manifest's tables, and nothing is extrapolated."""

import math
from pathlib import Path

import pytest

from model.bundle.calibration import Calibration
from model.bundle.manifest import Manifest
from model.bundle.runtime import Bundle


@pytest.fixture(scope="module")
def manifest(tiny_bundle: Path) -> Manifest:
    return Bundle.load(tiny_bundle).manifest


def test_probability_is_the_logistic_of_the_bucket(manifest: Manifest) -> None:
    bucket = manifest.calibration[0]
    expected = 1 / (1 + math.exp(-(bucket.slope * 0.9 + bucket.intercept)))
    assert Calibration(manifest).probability(0.9, 10) == pytest.approx(expected)


def test_extreme_scores_do_not_overflow(manifest: Manifest) -> None:
    steep = manifest.calibration[1].model_copy(update={"slope": 1e4})
    calibration = Calibration(manifest.model_copy(update={"calibration": (steep,)}))
    assert calibration.probability(1.0, 30) == 1.0
    assert calibration.probability(-1.0, 30) == 0.0


def test_buckets_include_their_lower_end_only(manifest: Manifest) -> None:
    low, high = manifest.calibration
    shifted = high.model_copy(update={"thresholds": ()})
    calibration = Calibration(manifest.model_copy(update={"calibration": (low, shifted)}))
    assert calibration.threshold(23, 1e-3) == low.thresholds[1]
    assert calibration.threshold(24, 1e-3) is None


def test_an_unknown_rate_has_no_threshold(manifest: Manifest) -> None:
    assert Calibration(manifest).threshold(10, 1e-6) is None


def test_without_calibration_there_is_no_probability(manifest: Manifest) -> None:
    calibration = Calibration(manifest.model_copy(update={"calibration": ()}))
    assert calibration.probability(0.9, 10) is None
    assert calibration.threshold(10, 1e-3) is None
