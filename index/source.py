"""A view with its filters, as the ranking sees it."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from index.half import decode
from index.ranking import IMAGE, Images
from index.scan import Scanner
from index.segment import Found, Segment
from index.selection import Choice, excluding, only
from index.types import Vectors
from index.view import View

_ROWS_AT_ONCE = 16384


class ViewSource:
    """See `index.ranking.Source`."""

    most = 2**31 - 1

    def __init__(self, view: View, scanner: Scanner, choice: Choice) -> None:
        self._view, self._scanner, self._choice = view, scanner, choice

    def best(self, probes: Vectors, k: int, without: NDArray[np.int64]) -> Found:
        choice = excluding(self._view, self._choice, without) if len(without) else self._choice
        return self._scanner.best(self._view, probes, k, choice)

    def images_of(self, identities: NDArray[np.int64]) -> Iterator[tuple[Images, Vectors]]:
        parts: list[tuple[Images, NDArray[np.float16]]] = []
        for segment, positions in zip(
            self._view.segments, only(self._view, self._choice, identities), strict=True
        ):
            for start in range(0, len(positions), _ROWS_AT_ONCE):
                parts.append(_taken(segment, positions[start : start + _ROWS_AT_ONCE]))
                if sum(len(images) for images, _ in parts) >= _ROWS_AT_ONCE:
                    yield _joined(parts)
                    parts = []
        if parts:
            yield _joined(parts)

    def vectors(self, images: NDArray[np.int64]) -> Vectors:
        result = np.empty((len(images), self._view.space.dimension), np.float32)
        order = np.argsort(images)
        for segment in self._view.segments:
            positions = segment.positions(images[order])
            rows = order[np.searchsorted(images[order], segment.columns.ids[positions])]
            result[rows] = segment.decoded(positions)
        return result

    def identity(self, number: int) -> str:
        return self._view.identities[number]

    def camera(self, number: int) -> str | None:
        return self._view.cameras[number] if number else None


def _taken(segment: Segment, positions: NDArray[np.intp]) -> tuple[Images, NDArray[np.float16]]:
    columns, images = segment.columns, np.empty(len(positions), IMAGE)
    images["id"] = columns.ids[positions]
    images["identity"] = columns.identities[positions]
    images["camera"] = columns.cameras[positions]
    images["flagged"] = columns.flagged[positions]
    return images, columns.vectors[positions]


def _joined(parts: list[tuple[Images, NDArray[np.float16]]]) -> tuple[Images, Vectors]:
    halves = np.concatenate([halves for _, halves in parts])
    return np.concatenate([images for images, _ in parts]), decode(halves)
