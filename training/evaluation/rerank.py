"""k-reciprocal re-ranking (Zhong et al., CVPR 2017) over all probes and gallery images together.

It uses the other probes as neighbours too, as published figures do, and so is an option of evaluation only: its
figures are named, and never those of a bundle as it is served.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.evaluation.encoders import Vectors
from training.evaluation.scorers import ScoreRows

Ints = NDArray[np.int64]
_CHUNK = 256


@dataclass(frozen=True)
class Reranking:
    """The published values."""

    k1: int = 20
    k2: int = 6
    original: float = 0.3  # weight of the original distance


@dataclass(frozen=True)
class _Sparse:
    """One row of the neighbour encoding V: its non-zero places, ascending, and their weights."""

    places: Ints
    weights: NDArray[np.float32]


def reranked(probes: Vectors, gallery: Vectors, setting: Reranking | None = None) -> ScoreRows:
    """Scores are minus the distance (1 - original) * Jaccard + original * squared Euclidean."""
    use = setting or Reranking()
    vectors = np.concatenate([probes, gallery])
    near, scale = _nearest(vectors, min(use.k1 + 1, len(vectors)))
    encoded = _expand(_encode(vectors, near, scale, use.k1), near[:, : use.k2])
    columns = _columns(encoded[len(probes) :], len(vectors))

    def rows(start: int, stop: int) -> NDArray[np.float32]:
        distance = _distance(probes[start:stop], gallery) / scale[start:stop, None]
        for row, encoding in zip(distance, encoded[start:stop], strict=True):
            shared = np.zeros(len(gallery), np.float32)
            for place, weight in zip(encoding.places, encoding.weights, strict=True):
                column = columns[place]
                shared[column.places] += np.minimum(weight, column.weights)
            jaccard = 1 - shared / (2 - shared)  # the rows of V sum to 1
            row *= use.original
            row += (1 - use.original) * jaccard
        return -distance

    return rows


def _distance(a: Vectors, b: Vectors) -> NDArray[np.float32]:
    """Squared Euclidean distance of unit vectors."""
    distance: NDArray[np.float32] = (2 - 2 * (a @ b.T)).clip(min=0)
    return distance


def _nearest(vectors: Vectors, count: int) -> tuple[Ints, NDArray[np.float32]]:
    """The `count` nearest of each, itself first, and each one's largest distance."""
    near = np.empty((len(vectors), count), np.int64)
    largest = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), _CHUNK):
        distance = _distance(vectors[start : start + _CHUNK], vectors)
        largest[start : start + _CHUNK] = distance.max(axis=1)
        rows = np.arange(len(distance))
        distance[rows, start + rows] = -1
        first = np.argpartition(distance, count - 1, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(distance, first, axis=1), axis=1, kind="stable")
        near[start : start + _CHUNK] = np.take_along_axis(first, order, axis=1)
    return near, largest.clip(min=1e-12)


def _encode(vectors: Vectors, near: Ints, scale: NDArray[np.float32], k1: int) -> list[_Sparse]:
    """V: Gaussian weights over each one's expanded k-reciprocal neighbours, summing to 1."""
    half = _reciprocal(near[:, : round(k1 / 2) + 1])
    encoded = []
    for index, own in enumerate(_reciprocal(near)):
        expanded = set(own)
        for candidate in own:
            other = half[candidate]
            if 3 * len(other & own) > 2 * len(other):
                expanded |= other
        places = np.array(sorted(expanded), np.int64)
        distance = _distance(vectors[index : index + 1], vectors[places])[0] / scale[index]
        weights = np.exp(-distance)
        encoded.append(_Sparse(places, weights / weights.sum()))
    return encoded


def _reciprocal(near: Ints) -> list[set[int]]:
    """Of each one's neighbours those that have it among theirs."""
    sets = [set(row) for row in near.tolist()]
    return [{other for other in row if index in sets[other]} for index, row in enumerate(sets)]


def _expand(encoded: list[_Sparse], near: Ints) -> list[_Sparse]:
    """Local query expansion: the mean encoding of each one's k2 nearest."""
    if near.shape[1] == 1:
        return encoded
    mean = []
    for row in near:
        places = np.concatenate([encoded[other].places for other in row])
        weights = np.concatenate([encoded[other].weights for other in row])
        unique, where = np.unique(places, return_inverse=True)
        total = np.bincount(where, weights, len(unique)).astype(np.float32)
        mean.append(_Sparse(unique, total / np.float32(len(row))))
    return mean


def _columns(encoded: list[_Sparse], size: int) -> list[_Sparse]:
    """The gallery's part of V by column."""
    rows = np.concatenate([np.full(len(row.places), index) for index, row in enumerate(encoded)])
    places = np.concatenate([row.places for row in encoded])
    weights = np.concatenate([row.weights for row in encoded])
    order = np.argsort(places, kind="stable")
    cuts = np.searchsorted(places[order], np.arange(1, size))
    return [
        _Sparse(*part)
        for part in zip(np.split(rows[order], cuts), np.split(weights[order], cuts), strict=True)
    ]
