"""From probes to ranked identities, exactly: each identity counts with its best image.

A scan returns the k best images. It is enough once `top_k` identities score above the last image that was
returned. If one person fills the list, the rest is scanned without those already found. Scores are then
computed anew from the stored vectors, always in the same way, so that a ranking depends neither on the number
of probes in a call nor on how the rows happen to lie in memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from index.scan import Scanner
from index.selection import Choice, excluding, only
from index.types import Match, Support, Vectors
from index.view import View

# Above the difference between two float32 sums of the same 512 products in another order, for unit vectors.
ROUNDING = 1e-5
_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class Wanted:
    top_k: int
    supports: int
    min_score: float | None


def rank(view: View, scanner: Scanner, probe: Vectors, choice: Choice, wanted: Wanted) -> list[Match]:
    """`probe` is (1, D)."""
    contenders = _contenders(view, scanner, probe, choice, wanted)
    supports = _supports(view, probe, choice, contenders, wanted.supports)
    matches = sorted(supports.values(), key=lambda best: (-best[0].score, best[0].row))
    return [
        Match(view.identities[best[0].identity], best[0].score, tuple(_support(view, one) for one in best))
        for best in matches[: wanted.top_k]
        if wanted.min_score is None or best[0].score >= wanted.min_score
    ]


def _contenders(
    view: View, scanner: Scanner, probe: Vectors, choice: Choice, wanted: Wanted
) -> NDArray[np.int64]:
    """Every identity that may be among the `top_k`, and few others."""
    best: dict[int, float] = {}
    k = max(64, 4 * wanted.top_k)
    floor = -np.inf if wanted.min_score is None else wanted.min_score - ROUNDING
    while True:
        scores, identities = scanner.best(view, probe, k, choice)
        for identity, score in zip(identities.tolist(), scores.tolist(), strict=True):
            best.setdefault(identity, score)
        limit = max(floor, _limit(best, wanted.top_k))
        if len(scores) < k or scores[-1] < limit:
            return np.array([identity for identity, score in best.items() if score >= limit], np.int64)
        choice = excluding(view, choice, np.array(list(best), np.int64))
        k *= 4


def _limit(best: dict[int, float], top_k: int) -> float:
    """What an identity must reach to be among the `top_k`, less the rounding of two scores."""
    if len(best) < top_k:
        return -np.inf
    return float(np.partition(np.fromiter(best.values(), np.float64), -top_k)[-top_k]) - 2 * ROUNDING


@dataclass(frozen=True, slots=True)
class _Scored:
    row: int
    score: float
    identity: int
    camera: int
    flagged: bool


def _supports(
    view: View, probe: Vectors, choice: Choice, identities: NDArray[np.int64], supports: int
) -> dict[int, list[_Scored]]:
    """The best images of each identity, best first; equal scores in order of enrolment."""
    scored: dict[int, list[_Scored]] = {}
    for segment, positions in zip(view.segments, only(view, choice, identities), strict=True):
        for start in range(0, len(positions), _BLOCK):
            block = positions[start : start + _BLOCK]
            scores = score(segment.decoded(block), probe[0])
            columns = segment.columns
            owners, cameras, flagged = (
                columns.identities[block],
                columns.cameras[block],
                columns.flagged[block],
            )
            fields: Sequence[NDArray[np.generic]] = (columns.ids[block], scores, owners, cameras, flagged)
            for one in zip(*(field.tolist() for field in fields), strict=True):
                scored.setdefault(one[2], []).append(_Scored(*one))
    return {
        identity: sorted(images, key=lambda one: (-one.score, one.row))[:supports]
        for identity, images in scored.items()
    }


def score(rows: Vectors, probe: Vectors) -> Vectors:
    """(N, D) and (D,) to (N,): the one definition of a score. Every row is summed in the same order."""
    products: Vectors = np.einsum("ij,ij->i", rows, np.broadcast_to(probe, rows.shape))
    return products.clip(-1.0, 1.0)


def _support(view: View, scored: _Scored) -> Support:
    camera = view.cameras[scored.camera] if scored.camera else None
    return Support(str(scored.row), scored.score, camera, scored.flagged)
