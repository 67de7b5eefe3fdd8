"""Score thresholds at given false-accept rates, with 95% confidence intervals by resampling persons."""

import numpy as np
from numpy.typing import NDArray

from model.bundle.manifest import Threshold
from training.evaluation.pairs import Pairs

MIN_ACCEPTED = 30  # impostor pairs above the threshold; Doddington's "rule of 30"
MIN_PERSONS = 10  # however many pairs they make: the interval comes from resampling persons
_RESAMPLES = 1000
_SPARE = 6  # the resampled threshold is sought among this many times the expected number of accepted pairs


class CalibrationError(ValueError):
    """The data cannot support what was asked for; the message names the counts."""


def threshold(pairs: Pairs, far: float, *, where: str, seed: int = 0) -> Threshold:
    """The lowest score from which at most `far` of the impostor pairs are accepted (score >= threshold).

    The interval is the percentile bootstrap over persons: a person drawn w times counts w times as a
    probe's owner and w times as an impostor. The pairs of one person, which are not independent, so stay
    together.
    """
    impostors = np.sort(pairs.impostors)[::-1]
    if len(impostors) * far < MIN_ACCEPTED:
        raise CalibrationError(
            f"{where}: {len(impostors):,} impostor pairs cannot support a false-accept rate of {far:g}; "
            f"at least {int(np.ceil(MIN_ACCEPTED / far)):,} are needed"
        )
    persons = len(np.unique(np.concatenate([pairs.people, pairs.identities])))
    if persons < MIN_PERSONS:
        raise CalibrationError(
            f"{where}: {persons} persons cannot support thresholds, however many images they have; "
            f"at least {MIN_PERSONS} are needed"
        )
    score = _cut(impostors, int(len(impostors) * far))
    resampled = _resampled(pairs, far, np.random.default_rng(seed))
    low, high = np.percentile(resampled, [2.5, 97.5])
    genuine = pairs.genuine
    return Threshold(
        far=far,
        score=score,
        low=float(min(low, score)),
        high=float(max(high, score)),
        true_accept_rate=float((genuine >= score).mean()),
    )


def _cut(descending: NDArray[np.float32], accepted: int) -> float:
    """A score that the first `accepted` reach and the next one does not; fewer where they tie."""
    inside, outside = descending[accepted - 1], descending[min(accepted, len(descending) - 1)]
    if inside > outside:
        return (float(inside) + float(outside)) / 2
    return float(np.nextafter(outside, np.float32(np.inf)))


def _resampled(pairs: Pairs, far: float, generator: np.random.Generator) -> NDArray[np.float64]:
    valid = ~pairs.own & ~np.isnan(pairs.scores)
    scores = np.where(valid, pairs.scores, -np.inf)
    keep = min(int(valid.sum()), int(_SPARE * far * valid.sum()) + MIN_ACCEPTED)
    top = np.argpartition(-scores, keep - 1, axis=None)[:keep]
    top = top[np.argsort(-scores.ravel()[top], kind="stable")]
    probes, columns = np.unravel_index(top, scores.shape)
    persons, place = np.unique(np.concatenate([pairs.people, pairs.identities]), return_inverse=True)
    of_probe, of_column = place[: len(pairs.people)], place[len(pairs.people) :]
    counted = valid.astype(np.float32)
    found = np.empty(_RESAMPLES)
    for index in range(_RESAMPLES):
        drawn = np.bincount(generator.integers(0, len(persons), len(persons)), minlength=len(persons))
        weight = drawn.astype(np.float32)
        total = float(weight[of_probe] @ counted @ weight[of_column])
        above = np.cumsum(weight[of_probe[probes]] * weight[of_column[columns]], dtype=np.float64)
        at = min(int(np.searchsorted(above, far * total, side="right")), keep - 1)
        found[index] = scores[probes[at], columns[at]]
    return found
