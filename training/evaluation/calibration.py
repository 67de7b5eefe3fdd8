"""Score to probability, and thresholds, per probe height: from persons that were never trained on."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from model.bundle.manifest import CalibrationBucket
from training.data.manifest import Manifest
from training.evaluation.encoders import Encoder
from training.evaluation.logistic import fit_logistic
from training.evaluation.pairs import Pairs
from training.evaluation.thresholds import CalibrationError, threshold

RATES = (1e-2, 1e-3, 1e-4)
METHOD = (
    "A pair is a probe and an identity, scored by the identity's best image by another camera: "
    "a search among N identities makes N of them. "
    "Probability: Platt's logistic map with match and mismatch weighed the same. "
    "Thresholds: the lowest score that accepts at most the rate of impostor pairs; "
    "95% interval by bootstrap over persons (1,000 resamples)."
)
_TALLEST = 4096


def calibrate(
    pairs: Pairs, ranges: Sequence[tuple[int, int | None]], *, rates: Sequence[float] = RATES, seed: int = 0
) -> tuple[CalibrationBucket, ...]:
    """One bucket per height range that holds probes. Raises CalibrationError on too few pairs."""
    buckets = []
    for low, high in ranges:
        members = pairs.heights >= low
        if high is not None:
            members &= pairs.heights < high
        if members.any():
            buckets.append(_bucket(pairs.of(members), low, high, rates, seed))
    if not buckets:
        raise CalibrationError(f"no probe has a height in {', '.join(name_range(*r) for r in ranges)}")
    return tuple(buckets)


def height_ranges(encoder: Encoder, measured: NDArray[np.int64]) -> list[tuple[int, int | None]]:
    """The height ranges that routing treats alike, downwards only as far as the probes' heights reach.

    The lowest range ends as far below its lowest measured height (in log height) as its upper end
    lies above it: what a smaller probe's score means was not measured.
    """
    routes = [encoder.route(height, "auto") for height in range(1, _TALLEST)]
    edges = [1, *(h + 2 for h, (a, b) in enumerate(pairwise(routes)) if a != b)]
    ranges: list[tuple[int, int | None]] = [*pairwise(edges), (edges[-1], None)]
    lowest = int(measured.min())
    held = [(low, high) for low, high in ranges if high is None or high > lowest]
    low, high = held[0]
    if high is not None:
        low = max(low, round(lowest * lowest / high))
    return [(low, high), *held[1:]]


def check_unseen(manifest: Manifest) -> None:
    """Raises CalibrationError where a person to calibrate on is among those trained on."""
    trained = {entry.identity for entry in manifest.of("train")}
    tested = {
        entry.identity for side in ("probe", "gallery") for entry in manifest.of(side) if entry.identity > 0
    }
    if shared := trained & tested:
        raise CalibrationError(
            f"{manifest.name}: {len(shared)} identities are both trained and tested on, {min(shared)} for one"
        )


def reliability(pairs: Pairs, bins: int = 10, seed: int = 0) -> list[tuple[float, float, int]]:
    """Mean predicted probability, share of genuine pairs (both classes weighed the same) and count, per bin.

    Each half of the persons is predicted by a map fitted on the other half; empty where a half has too few.
    """
    shuffled = np.random.default_rng(seed).permutation(pairs.identities)
    halves = np.isin(pairs.identities, shuffled[: len(shuffled) // 2])
    parts = (_within(pairs, halves), _within(pairs, ~halves))
    if not all(len(part.genuine) and len(part.impostors) for part in parts):
        return []
    predicted, truth = [], []
    for fitted, held_out in (parts, parts[::-1]):
        slope, intercept = fit_logistic(fitted.genuine, fitted.impostors)
        for scores, match in ((held_out.genuine, True), (held_out.impostors, False)):
            predicted.append(1 / (1 + np.exp(-(slope * scores.astype(np.float64) + intercept))))
            truth.append(np.full(len(scores), match))
    p, is_match = np.concatenate(predicted), np.concatenate(truth)
    weight = np.where(is_match, 0.5 / is_match.sum(), 0.5 / (~is_match).sum())
    place = np.minimum((p * bins).astype(int), bins - 1)
    return [
        (
            float(np.average(p[here], weights=weight[here])),
            float(np.average(is_match[here], weights=weight[here])),
            int(here.sum()),
        )
        for here in (place == index for index in range(bins))
        if here.any()
    ]


def name_range(low: int, high: int | None) -> str:
    return f"{low} px and more" if high is None else f"{low}-{high - 1} px"


def _bucket(pairs: Pairs, low: int, high: int | None, rates: Sequence[float], seed: int) -> CalibrationBucket:
    where = f"probes of {name_range(low, high)}"
    genuine, impostors = pairs.genuine, pairs.impostors
    if not len(genuine) or not len(impostors):
        raise CalibrationError(f"{where}: {len(genuine)} genuine and {len(impostors)} impostor pairs")
    slope, intercept = fit_logistic(genuine, impostors)
    if slope <= 0:
        raise CalibrationError(f"{where}: matches do not score above mismatches; is this the right model?")
    return CalibrationBucket(
        min_height=low,
        max_height=high,
        slope=slope,
        intercept=intercept,
        genuine_pairs=len(genuine),
        impostor_pairs=len(impostors),
        thresholds=tuple(threshold(pairs, far, where=where, seed=seed) for far in rates),
    )


def _within(pairs: Pairs, identities: NDArray[np.bool_]) -> Pairs:
    """The pairs among some of the identities only."""
    probes = np.isin(pairs.people, pairs.identities[identities])
    return Pairs(
        pairs.scores[np.ix_(probes, identities)],
        pairs.people[probes],
        pairs.identities[identities],
        pairs.heights[probes],
    )
