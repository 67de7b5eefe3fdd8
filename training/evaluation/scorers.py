"""The two scorers of cross-resolution Re-ID. Figures from different scorers are never compared.

Both leave out junk (identity -1) and, for each probe, the images of its own identity by its own camera.
Average precision is the mean of the plain precision at each hit (not the trapezoid of some public code).
An impostor whose score equals a match's ranks before it, so that the order of the gallery does not matter and
an encoder that maps everything to one vector scores nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.data.records import DISTRACTOR, JUNK
from training.evaluation.outcome import NO_MATCH, Outcome

Scores = NDArray[np.float32]
Ints = NDArray[np.int64]
_CHUNK = 64


@dataclass(frozen=True)
class Labels:
    identities: Ints  # (N,)
    cameras: Ints  # (N,)

    @cached_property
    def by_identity(self) -> dict[int, Ints]:
        """The positions of each identity's images, in order."""
        order = np.argsort(self.identities, kind="stable")
        identities, starts = np.unique(self.identities[order], return_index=True)
        return dict(zip(identities.tolist(), np.split(order, starts[1:]), strict=True))


class ScoreRows(Protocol):
    """Scores of probes [start, stop) against the gallery: (stop - start, gallery). Higher is more alike."""

    def __call__(self, start: int, stop: int, /) -> Scores: ...


class Scorer(Protocol):
    @property
    def name(self) -> str: ...

    def __call__(self, scores: ScoreRows, probes: Labels, gallery: Labels, /) -> Outcome: ...


def inner_products(probes: Scores, gallery: Scores) -> ScoreRows:
    """Scores of unit vectors, (P, D) and (G, D)."""
    return lambda start, stop: probes[start:stop] @ gallery.T


@dataclass(frozen=True)
class Market1501:
    """Every gallery image is ranked (the official protocol of Market-1501)."""

    name: str = "market1501"

    def __call__(self, scores: ScoreRows, probes: Labels, gallery: Labels) -> Outcome:
        junk = gallery.identities == JUNK
        outcome = _empty(1, len(probes.identities))
        for probe, row in _rows(scores, len(probes.identities)):
            own, matches = _own(probe, probes, gallery)
            hits = np.sort(row[matches])[::-1]
            row[own] = -np.inf
            row[junk] = -np.inf
            _record(outcome, 0, probe, _impostors_at_least(hits, np.sort(row)))
        return outcome


@dataclass(frozen=True)
class SingleShot:
    """One gallery image per identity is drawn, `repeats` times; distractors are nobody, and are left out.

    A draw orders the gallery at random; each identity shows its first image. Where that image is of the
    probe's own identity and camera, the probe sees its identity's first image by another camera.
    """

    repeats: int = 10
    seed: int = 0

    @property
    def name(self) -> str:
        return f"single_shot(repeats={self.repeats}, seed={self.seed})"

    def __call__(self, scores: ScoreRows, probes: Labels, gallery: Labels) -> Outcome:
        if self.repeats < 1:
            raise ValueError("single_shot needs at least one repeat")
        order = np.random.default_rng(self.seed)
        size = len(gallery.identities)
        places = np.stack([order.permutation(size) for _ in range(self.repeats)])  # (repeats, G)
        shown = np.stack([_first_of_each(places[draw], gallery) for draw in range(self.repeats)])
        outcome = _empty(self.repeats, len(probes.identities))
        for probe, row in _rows(scores, len(probes.identities)):
            own, matches = _own(probe, probes, gallery)
            if not len(matches):
                continue
            seen = matches[np.argmin(places[:, matches], axis=1)]  # (repeats,)
            hits = row[seen]
            row[own] = -np.inf
            ranks = 1 + (row[shown] >= hits[:, None]).sum(axis=1)  # shown: (repeats, identities)
            outcome.first_match[:, probe] = ranks
            outcome.average_precision[:, probe] = 1 / ranks
            outcome.inverse_penalty[:, probe] = 1 / ranks
        return outcome


class ScorerName(StrEnum):
    MARKET1501 = "market1501"
    SINGLE_SHOT = "single_shot"


def scorer(name: ScorerName, *, repeats: int = 10, seed: int = 0) -> Scorer:
    return Market1501() if name is ScorerName.MARKET1501 else SingleShot(repeats, seed)


def _rows(scores: ScoreRows, probes: int) -> Iterator[tuple[int, Scores]]:
    """Each probe's scores, computed in chunks; the caller may overwrite them."""
    for start in range(0, probes, _CHUNK):
        block = np.array(scores(start, min(start + _CHUNK, probes)), np.float32)
        if not np.isfinite(block).all():
            raise ValueError("a score is not finite: the encoder's vectors hold NaN or infinity")
        for offset, row in enumerate(block):
            yield start + offset, row


def _own(probe: int, probes: Labels, gallery: Labels) -> tuple[Ints, Ints]:
    """The gallery images of the probe's identity, and those of them by another camera."""
    own = gallery.by_identity.get(int(probes.identities[probe]), np.empty(0, np.int64))
    return own, own[gallery.cameras[own] != probes.cameras[probe]]


def _impostors_at_least(hits: Scores, ascending: Scores) -> Ints:
    """For each hit, how many impostors score as high or higher."""
    return len(ascending) - np.searchsorted(ascending, hits, side="left")


def _record(outcome: Outcome, draw: int, probe: int, ahead: Ints) -> None:
    """`ahead`: the impostors before each hit, best hit first."""
    if not len(ahead):
        return
    nth = np.arange(1, len(ahead) + 1)
    ranks = ahead + nth
    outcome.first_match[draw, probe] = ranks[0]
    outcome.average_precision[draw, probe] = (nth / ranks).mean()
    outcome.inverse_penalty[draw, probe] = len(ranks) / ranks[-1]


def _first_of_each(places: Ints, gallery: Labels) -> Ints:
    """Of each identity (junk and distractors are none) the image with the lowest place."""
    people = (own for identity, own in gallery.by_identity.items() if identity not in (JUNK, DISTRACTOR))
    return np.array([own[np.argmin(places[own])] for own in people], np.int64)


def _empty(draws: int, probes: int) -> Outcome:
    shape = (draws, probes)
    return Outcome(np.full(shape, NO_MATCH), np.zeros(shape), np.zeros(shape))
