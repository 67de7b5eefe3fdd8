"""From probes to ranked identities, exactly: each identity counts with its best image.

A scan returns the k best images. It is enough once `top_k` identities score above the last image that was
returned. If one person fills the list, the rest is scanned without those already found. Scores are then computed
anew from the stored vectors, always in the same way, so that a ranking depends neither on the number of probes in a
call nor on how the rows happen to lie in memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from index import rerank
from index.half import decode
from index.scan import Scanner
from index.segment import Segment
from index.selection import Choice, excluding, only
from index.types import Match, Support, Vectors
from index.view import View

# Above the difference between two float32 sums of the same 512 products in another order, for unit vectors.
ROUNDING = 1e-5
_ROWS_AT_ONCE = 16384
_CANDIDATES = 30  # identities that are ranked again, at least
_IMAGE = np.dtype(
    [
        ("id", np.int64),
        ("identity", np.int64),
        ("camera", np.int64),
        ("flagged", np.bool_),
        ("score", np.float32),
    ]
)
Images = NDArray[np.void]  # of _IMAGE


@dataclass(frozen=True, slots=True)
class Wanted:
    top_k: int
    supports: int
    min_score: float | None


def rank(view: View, scanner: Scanner, probes: Vectors, choice: Choice, wanted: Wanted) -> list[list[Match]]:
    """One ranking for each of `probes` (Q, D)."""
    if not len(probes):
        return []
    contenders = _contenders(view, scanner, probes, choice, wanted)
    scored: list[list[Images]] = [[np.empty(0, _IMAGE)] for _ in probes]
    wanted_ones = np.zeros(len(view.identities), np.bool_)
    for images, vectors in _images_of(view, choice, np.unique(np.concatenate(contenders))):
        for probe, identities, parts in zip(probes, contenders, scored, strict=True):
            wanted_ones[identities] = True
            own = np.flatnonzero(wanted_ones[images["identity"]])
            wanted_ones[identities] = False
            part = images[own]
            part["score"] = score(vectors[own], probe)
            parts.append(part)
    return [_matches(view, np.concatenate(parts), wanted) for parts in scored]


def rank_again(
    view: View, scanner: Scanner, probes: Vectors, choice: Choice, wanted: Wanted
) -> list[list[Match]]:
    """The best candidates of each probe in the order of their k-reciprocal distances; scores are as ever."""
    wider = replace(wanted, top_k=max(wanted.top_k, _CANDIDATES), supports=rerank.CANDIDATES)
    result = []
    for probe, matches in zip(probes, rank(view, scanner, probes, choice, wider), strict=True):
        images = sorted(((one.score, match, one) for match in matches for one in match.images), key=_by_score)
        images = images[: rerank.CANDIDATES]
        vectors = vectors_of(view, [int(one.image_id) for _, _, one in images])
        nearest: dict[str, float] = {}
        for (_, match, _), distance in zip(images, rerank.distances(probe, vectors).tolist(), strict=True):
            nearest[match.identity] = min(distance, nearest.get(match.identity, np.inf))
        kept = sorted(
            (match for match in matches if match.identity in nearest), key=lambda m: nearest[m.identity]
        )
        result.append(
            [replace(match, images=match.images[: wanted.supports]) for match in kept[: wanted.top_k]]
        )
    return result


def _by_score(entry: tuple[float, Match, Support]) -> float:
    return -entry[0]


def vectors_of(view: View, images: list[int]) -> Vectors:
    """(N, D) in the order of `images`, which must exist."""
    ids = np.array(images, np.int64)
    result = np.empty((len(ids), view.space.dimension), np.float32)
    for segment in view.segments:
        order = np.argsort(ids)
        positions = segment.positions(ids[order])
        rows = order[np.searchsorted(ids[order], segment.columns.ids[positions])]
        result[rows] = segment.decoded(positions)
    return result


def _contenders(
    view: View, scanner: Scanner, probes: Vectors, choice: Choice, wanted: Wanted
) -> list[NDArray[np.int64]]:
    """For each probe every identity that may be among its `top_k`, and few others."""
    k = max(64, 4 * wanted.top_k)
    scores, identities = scanner.best(view, probes, k, choice)
    return [
        _complete(view, scanner, probes[row : row + 1], choice, wanted, k, (scores[row], identities[row]))
        for row in range(len(probes))
    ]


def _complete(
    view: View,
    scanner: Scanner,
    probe: Vectors,
    choice: Choice,
    wanted: Wanted,
    k: int,
    found: tuple[Vectors, NDArray[np.int64]],
) -> NDArray[np.int64]:
    """`found`: scores and identities of the `k` best images for `probe` (1, D), to which more are added if needed."""
    best: dict[int, float] = {}
    floor = -np.inf if wanted.min_score is None else wanted.min_score - ROUNDING
    while True:
        scores, identities = found
        valid = int(np.count_nonzero(scores > -np.inf))
        for identity, value in zip(identities[:valid].tolist(), scores[:valid].tolist(), strict=True):
            best.setdefault(identity, value)
        limit = max(floor, _limit(best, wanted.top_k))
        if valid < k or scores[-1] < limit:
            return np.array([identity for identity, value in best.items() if value >= limit], np.int64)
        choice = excluding(view, choice, np.array(list(best), np.int64))
        k *= 4
        more = scanner.best(view, probe, k, choice)
        found = more[0][0], more[1][0]


def _limit(best: dict[int, float], top_k: int) -> float:
    """What an identity must reach to be among the `top_k`, less the rounding of two scores."""
    if len(best) < top_k:
        return -np.inf
    return float(np.partition(np.fromiter(best.values(), np.float64), -top_k)[-top_k]) - 2 * ROUNDING


def _images_of(view: View, choice: Choice, identities: NDArray[np.int64]) -> Iterator[tuple[Images, Vectors]]:
    """The chosen images of these identities with their vectors (N, D), a bounded number at a time."""
    parts: list[tuple[Images, NDArray[np.float16]]] = []
    for segment, positions in zip(view.segments, only(view, choice, identities), strict=True):
        for start in range(0, len(positions), _ROWS_AT_ONCE):
            parts.append(_taken(segment, positions[start : start + _ROWS_AT_ONCE]))
            if sum(len(images) for images, _ in parts) >= _ROWS_AT_ONCE:
                yield _joined(parts)
                parts = []
    if parts:
        yield _joined(parts)


def _taken(segment: Segment, positions: NDArray[np.intp]) -> tuple[Images, NDArray[np.float16]]:
    columns, images = segment.columns, np.empty(len(positions), _IMAGE)
    images["id"] = columns.ids[positions]
    images["identity"] = columns.identities[positions]
    images["camera"] = columns.cameras[positions]
    images["flagged"] = columns.flagged[positions]
    return images, columns.vectors[positions]


def _joined(parts: list[tuple[Images, NDArray[np.float16]]]) -> tuple[Images, Vectors]:
    return np.concatenate([images for images, _ in parts]), decode(
        np.concatenate([halves for _, halves in parts])
    )


def score(rows: Vectors, probe: Vectors) -> Vectors:
    """(N, D) and (D,) to (N,): the one definition of a score. Every row is summed in the same order."""
    products: Vectors = np.einsum("ij,ij->i", rows, np.broadcast_to(probe, rows.shape))
    return products.clip(-1.0, 1.0)


def _matches(view: View, images: Images, wanted: Wanted) -> list[Match]:
    """Identities by their best image; equal scores in order of enrolment."""
    if not len(images):
        return []
    images = images[np.lexsort((images["id"], -images["score"], images["identity"]))]
    starts = np.flatnonzero(np.diff(images["identity"], prepend=-1))
    ends = np.append(starts[1:], len(images))
    best = images[starts]
    matches = []
    for row in np.lexsort((best["id"], -best["score"]))[: wanted.top_k].tolist():
        supports = images[starts[row] : min(ends[row], starts[row] + wanted.supports)].tolist()
        top = supports[0][4]
        if wanted.min_score is not None and top < wanted.min_score:
            break
        identity = view.identities[supports[0][1]]
        matches.append(Match(identity, top, tuple(_support(view, *one) for one in supports)))
    return matches


def _support(view: View, image: int, identity: int, camera: int, flagged: bool, score: float) -> Support:
    return Support(str(image), score, view.cameras[camera] if camera else None, flagged)
