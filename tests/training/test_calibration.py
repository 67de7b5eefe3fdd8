from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.bundle.calibration import Calibration
from model.bundle.runtime import Bundle, Runtime
from model.bundle.session import Provider
from training.data.manifest import Entry, Manifest
from training.evaluation.calibration import calibrate, check_unseen, height_ranges, reliability
from training.evaluation.embed import Embedded
from training.evaluation.encoders import BundleEncoder
from training.evaluation.logistic import fit_logistic
from training.evaluation.pairs import Pairs, make_pairs
from training.evaluation.scorers import Labels
from training.evaluation.thresholds import CalibrationError, threshold


def synthetic(people: int = 80, probes_each: int = 4, seed: int = 0, height: int = 32) -> Pairs:
    """Genuine scores around 0.7, impostors around 0.2."""
    generator = np.random.default_rng(seed)
    owner = np.repeat(np.arange(1, people + 1), probes_each)
    scores = generator.normal(0.2, 0.1, (len(owner), people)).astype(np.float32)
    scores[np.arange(len(owner)), owner - 1] = generator.normal(0.7, 0.12, len(owner))
    return Pairs(scores, owner, np.arange(1, people + 1), np.full(len(owner), height))


def test_pairs_equal_a_plain_loop() -> None:
    generator = np.random.default_rng(0)

    def side(count: int, lowest: int) -> Embedded:
        labels = Labels(generator.integers(lowest, 6, count), generator.integers(1, 4, count))
        vectors = generator.standard_normal((count, 5)).astype(np.float32)
        return Embedded(("",) * count, vectors, labels, np.full(count, 2), np.full(count, 32))

    probes, gallery = side(20, 1), side(30, -1)
    pairs = make_pairs(probes, gallery)
    assert pairs.identities.min() >= 1
    for p in range(20):
        for column, identity in enumerate(pairs.identities):
            images = [
                float(probes.vectors[p] @ gallery.vectors[g])
                for g in range(30)
                if gallery.labels.identities[g] == identity
                and gallery.labels.cameras[g] != probes.labels.cameras[p]
            ]
            expected = max(images) if images else np.nan
            np.testing.assert_allclose(pairs.scores[p, column], expected, rtol=1e-5)
    assert len(pairs.genuine) + len(pairs.impostors) == (~np.isnan(pairs.scores)).sum()


def test_the_logistic_fit_recovers_a_known_map() -> None:
    # Equal-variance normals: log odds are exactly linear, slope = difference / variance, zero at the middle.
    generator = np.random.default_rng(0)
    genuine, impostors = generator.normal(0.6, 0.1, 40_000), generator.normal(0.3, 0.1, 400_000)
    slope, intercept = fit_logistic(genuine, impostors)
    assert slope == pytest.approx(0.3 / 0.01, rel=0.03)
    assert -intercept / slope == pytest.approx(0.45, abs=0.003)


def test_separable_classes_end_finite() -> None:
    slope, intercept = fit_logistic(np.array([0.9, 0.8]), np.array([0.1, 0.2, 0.0]))
    assert 0 < slope < 1e3 and np.isfinite(intercept)


def test_a_threshold_accepts_at_most_its_rate() -> None:
    pairs = synthetic()
    for far in (1e-2, 5e-3):
        found = threshold(pairs, far, where="test")
        accepted = (pairs.impostors >= found.score).sum()
        assert accepted == int(far * len(pairs.impostors))
        assert found.low <= found.score <= found.high
        assert found.true_accept_rate == pytest.approx((pairs.genuine >= found.score).mean())


def test_ties_never_raise_the_rate() -> None:
    pairs = synthetic()
    coarse = replace(pairs, scores=np.round(pairs.scores, 1))
    found = threshold(coarse, 1e-2, where="test")
    assert 0 < (coarse.impostors >= found.score).mean() <= 1e-2


def test_the_interval_covers_the_true_threshold() -> None:
    # The 99% point of the impostors' normal law should lie inside about 95% of the intervals.
    truth = 0.2 + 0.1 * 2.3263
    inside = 0
    for seed in range(40):
        found = threshold(synthetic(people=60, probes_each=2, seed=seed), 1e-2, where="test", seed=seed)
        inside += found.low <= truth <= found.high
    assert inside >= 35


def test_a_rate_that_the_impostors_cannot_support_is_refused() -> None:
    pairs = synthetic(people=20, probes_each=2)
    assert len(pairs.impostors) == 760
    with pytest.raises(CalibrationError, match=r"32-36 px: 760 impostor pairs .* 0.001; at least 30,000"):
        calibrate(pairs, [(32, 37)], rates=(1e-3,))


def test_many_pairs_of_a_few_persons_are_refused() -> None:
    pairs = synthetic(people=6, probes_each=200)
    assert len(pairs.impostors) == 6000  # enough for 0.01 by number
    with pytest.raises(CalibrationError, match=r"6 persons cannot support thresholds.*at least 10"):
        calibrate(pairs, [(1, None)], rates=(1e-2,))


def test_calibration_answers_through_the_bundle_s_reader(tiny_bundle: Path) -> None:
    small, tall = synthetic(height=16), synthetic(seed=1, height=32)
    both = Pairs(
        np.concatenate([small.scores, tall.scores - 0.1]),
        np.concatenate([small.people, tall.people]),
        small.identities,
        np.concatenate([small.heights, tall.heights]),
    )
    buckets = calibrate(both, [(13, 19), (19, 26), (26, None)], rates=(1e-2,))
    assert [(b.min_height, b.max_height) for b in buckets] == [(13, 19), (26, None)]
    manifest = Bundle.load(tiny_bundle).manifest.model_copy(update={"calibration": buckets})
    reader = Calibration(manifest)
    low, high = reader.probability(0.3, 16), reader.probability(0.6, 16)
    assert low is not None and high is not None and low < 0.2 and high > 0.8
    assert reader.probability(0.5, 20) is None
    one, other = reader.threshold(16, 1e-2), reader.threshold(40, 1e-2)
    assert one is not None and other is not None and one.score > other.score + 0.05


def test_ranges_follow_the_bundle_s_routing(tiny_bundle: Path) -> None:
    encoder = BundleEncoder(Runtime(Bundle.load(tiny_bundle), Provider.CPU, threads=1))
    ranges = height_ranges(encoder, np.array([16, 21, 32, 64]))
    assert ranges == [(13, 19), (19, 26), (26, 46), (46, None)]
    for low, high in ranges:
        routes = {encoder.route(height, "auto") for height in range(low, high or 200)}
        assert len(routes) == 1
    assert height_ranges(encoder, np.array([32, 64])) == [(26, 46), (46, None)]


def test_predictions_are_reliable_on_persons_not_fitted_on() -> None:
    curve = reliability(synthetic(people=200))
    assert sum(count for *_, count in curve) > 0
    assert all(abs(predicted - observed) < 0.15 for predicted, observed, _ in curve)


def test_too_few_persons_give_no_reliability_curve() -> None:
    assert reliability(synthetic(people=1)) == []


def test_a_model_that_ranks_backwards_is_refused() -> None:
    pairs = synthetic()
    with pytest.raises(CalibrationError, match="do not score above"):
        calibrate(replace(pairs, scores=-pairs.scores), [(1, None)], rates=(1e-2,))


def test_probes_without_pairs_are_refused() -> None:
    pairs = synthetic()
    with pytest.raises(CalibrationError, match="no probe has a height in 1-9 px"):
        calibrate(pairs, [(1, 10)])
    strangers = replace(pairs, people=pairs.people + 1000)
    with pytest.raises(CalibrationError, match="0 genuine"):
        calibrate(strangers, [(1, None)])


def test_persons_trained_on_are_refused() -> None:
    def entry(identity: int, split: str) -> Entry:
        return Entry(f"{split}/{identity}.jpg", identity, 1, 2, split, "")  # type: ignore[arg-type]

    apart = (entry(1, "train"), entry(2, "probe"), entry(0, "gallery"), entry(2, "gallery"))
    check_unseen(Manifest("Toy", "all", 0, apart))
    with pytest.raises(CalibrationError, match="1 identities are both trained and tested on, 1 for one"):
        check_unseen(Manifest("Toy", "all", 0, (*apart, entry(1, "gallery"))))
