"""Probe against identity, scored as the service scores: by the identity's best image.

Only images by another camera than the probe's count, for genuine and impostor pairs alike; junk and
distractors are nobody and make no pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.records import DISTRACTOR
from training.evaluation.embed import Embedded

_CHUNK = 256


@dataclass(frozen=True)
class Pairs:
    """NaN where the identity has no image by another camera."""

    scores: NDArray[np.float32]  # (probes, identities)
    people: NDArray[np.int64]  # (probes,): the probe's own identity
    identities: NDArray[np.int64]  # (identities,), ascending
    heights: NDArray[np.int64]  # (probes,)

    @property
    def own(self) -> NDArray[np.bool_]:
        """(probes, identities)"""
        own: NDArray[np.bool_] = self.people[:, None] == self.identities[None, :]
        return own

    @property
    def genuine(self) -> NDArray[np.float32]:
        return self._valid(self.own)

    @property
    def impostors(self) -> NDArray[np.float32]:
        return self._valid(~self.own)

    def of(self, probes: NDArray[np.bool_]) -> "Pairs":
        return Pairs(self.scores[probes], self.people[probes], self.identities, self.heights[probes])

    def _valid(self, wanted: NDArray[np.bool_]) -> NDArray[np.float32]:
        scores = self.scores[wanted]
        return scores[~np.isnan(scores)]


def make_pairs(probes: Embedded, gallery: Embedded) -> Pairs:
    people = gallery.labels.identities > DISTRACTOR
    identities = np.unique(gallery.labels.identities[people])
    scores = np.full((len(probes.heights), len(identities)), np.nan, np.float32)
    for camera in np.unique(probes.labels.cameras):
        usable = np.flatnonzero(people & (gallery.labels.cameras != camera))
        if not len(usable):
            continue
        order = usable[np.argsort(gallery.labels.identities[usable], kind="stable")]
        present, starts = np.unique(gallery.labels.identities[order], return_index=True)
        columns = np.searchsorted(identities, present)
        rows = np.flatnonzero(probes.labels.cameras == camera)
        for start in range(0, len(rows), _CHUNK):
            some = rows[start : start + _CHUNK]
            products = probes.vectors[some] @ gallery.vectors[order].T
            scores[np.ix_(some, columns)] = np.maximum.reduceat(products, starts, axis=1)
    return Pairs(scores, probes.labels.identities, identities, probes.heights)


def join(parts: Sequence[Pairs]) -> Pairs:
    """Probes of several runs against one gallery."""
    return Pairs(
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.people for part in parts]),
        parts[0].identities,
        np.concatenate([part.heights for part in parts]),
    )
