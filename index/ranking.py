"""From probes to ranked identities, exactly: each identity counts with its best image.

A scan returns the k best images. It is enough once `top_k` identities score above the last image that was
returned. If one person fills the list, the rest is scanned without those already found. Scores are then computed
anew from the stored vectors, always in the same way, so that a ranking depends neither on the number of probes in a
call nor on how the rows happen to lie in memory, nor on the engine.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from index import rerank
from index.segment import Found
from index.types import Match, Support, Vectors

# Above the difference between two float32 sums of the same 512 products in another order, for unit vectors.
ROUNDING = 1e-5
IMAGE = np.dtype(
    [
        ("id", np.int64),
        ("identity", np.int64),
        ("camera", np.int64),
        ("score", np.float32),
        ("flagged", np.bool_),
    ],
    align=True,
)
Images = NDArray[np.void]  # of IMAGE; identities and cameras by numbers that the source gives them
_FEWEST_IMAGES = 64
_CANDIDATES = 30  # identities that are ranked again, at least


@dataclass(frozen=True, slots=True)
class Wanted:
    top_k: int
    supports: int
    min_score: float | None


class Source(Protocol):
    """The images that a search may find: one state of a gallery, after its filters."""

    @property
    def most(self) -> int:
        """The greatest `k` that `best` takes."""

    def best(self, probes: Vectors, k: int, without: NDArray[np.int64]) -> Found:
        """The `k` best images for each of `probes` (Q, D): scores, best first, and identities; both (Q, <= k).

        `without`: images of these identities are left out. Where there are too few, scores end in -inf.
        """

    def images_of(self, identities: NDArray[np.int64]) -> Iterator[tuple[Images, Vectors]]:
        """All images of these identities with their vectors (N, D), a bounded number at a time."""

    def vectors(self, images: NDArray[np.int64]) -> Vectors:
        """(N, D) in the order of `images`."""

    def identity(self, number: int) -> str: ...

    def camera(self, number: int) -> str | None: ...


def rank(source: Source, probes: Vectors, wanted: Wanted) -> list[list[Match]]:
    """One ranking for each of `probes` (Q, D)."""
    if not len(probes):
        return []
    contenders = _contenders(source, probes, wanted)
    scored: list[list[Images]] = [[np.empty(0, IMAGE)] for _ in probes]
    for images, vectors in source.images_of(np.unique(np.concatenate(contenders))):
        owners = images["identity"].copy()  # contiguous
        marks = np.zeros(int(owners.max()) + 1, np.bool_)
        for probe, identities, parts in zip(probes, contenders, scored, strict=True):
            here = identities[identities < len(marks)]
            marks[here] = True
            own = np.flatnonzero(marks[owners])
            marks[here] = False
            part = images[own]
            part["score"] = score(vectors[own], probe)
            parts.append(part)
    return [_matches(source, np.concatenate(parts), wanted) for parts in scored]


def rank_again(source: Source, probes: Vectors, wanted: Wanted) -> list[list[Match]]:
    """The best candidates of each probe in the order of their k-reciprocal distances; scores are as ever."""
    wider = replace(wanted, top_k=max(wanted.top_k, _CANDIDATES), supports=rerank.CANDIDATES)
    found = rank(source, probes, wider)
    return [
        _ranked_again(source, probe, matches, wanted) for probe, matches in zip(probes, found, strict=True)
    ]


def _ranked_again(source: Source, probe: Vectors, matches: list[Match], wanted: Wanted) -> list[Match]:
    images = [(one, match.identity) for match in matches for one in match.images]
    images = sorted(images, key=lambda entry: -entry[0].score)[: rerank.CANDIDATES]
    if not images:
        return []
    vectors = source.vectors(np.array([int(one.image_id) for one, _ in images], np.int64))
    nearest: dict[str, float] = {}
    for (_, identity), distance in zip(images, rerank.distances(probe, vectors).tolist(), strict=True):
        nearest[identity] = min(distance, nearest.get(identity, np.inf))
    kept = sorted(
        (match for match in matches if match.identity in nearest), key=lambda one: nearest[one.identity]
    )
    return [replace(match, images=match.images[: wanted.supports]) for match in kept[: wanted.top_k]]


def _contenders(source: Source, probes: Vectors, wanted: Wanted) -> list[NDArray[np.int64]]:
    """For each probe every identity that may be among its `top_k`, and few others."""
    k = min(max(_FEWEST_IMAGES, 4 * wanted.top_k), source.most)
    scores, identities = source.best(probes, k, np.empty(0, np.int64))
    return [
        _complete(source, probes[row : row + 1], wanted, k, (scores[row], identities[row]))
        for row in range(len(probes))
    ]


def _complete(
    source: Source, probe: Vectors, wanted: Wanted, k: int, found: tuple[Vectors, NDArray[np.int64]]
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
        k = min(4 * k, source.most)
        more = source.best(probe, k, np.array(list(best), np.int64))
        found = more[0][0], more[1][0]


def _limit(best: dict[int, float], top_k: int) -> float:
    """What an identity must reach to be among the `top_k`, less the rounding of two scores."""
    if len(best) < top_k:
        return -np.inf
    return float(np.partition(np.fromiter(best.values(), np.float64), -top_k)[-top_k]) - 2 * ROUNDING


def score(rows: Vectors, probe: Vectors) -> Vectors:
    """(N, D) and (D,) to (N,): the one definition of a score. Every row is summed in the same order."""
    products: Vectors = np.einsum("ij,ij->i", rows, np.broadcast_to(probe, rows.shape))
    return products.clip(-1.0, 1.0)


def _matches(source: Source, images: Images, wanted: Wanted) -> list[Match]:
    """Identities by their best image; equal scores in order of enrolment."""
    if not len(images):
        return []
    ids, owners, scores = images["id"], images["identity"].copy(), images["score"].copy()
    order = np.lexsort((ids, -scores, owners))
    owners = owners[order]
    starts = np.flatnonzero(np.concatenate(([True], owners[1:] != owners[:-1])))
    ends = np.append(starts[1:], len(owners)).tolist()
    best = order[starts]
    matches = []
    for row in np.lexsort((ids[best], -scores[best]))[: wanted.top_k].tolist():
        start, stop = int(starts[row]), min(ends[row], int(starts[row]) + wanted.supports)
        supports = images[order[start:stop]].tolist()
        _, identity, _, top, _ = supports[0]
        if wanted.min_score is not None and top < wanted.min_score:
            break
        supporting = tuple(
            [
                Support(str(one), value, source.camera(camera), flagged)
                for one, _, camera, value, flagged in supports
            ]
        )
        matches.append(Match(source.identity(identity), top, supporting))
    return matches
