"""The images that a search may find, as Milvus has them: it selects, and `index.ranking` ranks as everywhere.

The first request finds the best images of each probe, and so the identities that may be in the answer; the second
brings all images of these with their vectors, from which the scores are computed anew. Somebody may rename or delete
between the two: `moved` tells that an identity was gone, and the search is then made again.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from index.milvus.connection import MOST_ROWS, Connection, Row
from index.milvus.rows import one_of
from index.ranking import IMAGE, Images
from index.segment import Found
from index.types import Vectors

_NAMES_AT_ONCE = 500
_PAGE_BYTES = 2**22
_FIELDS = ("identity", "camera", "flagged", "vector")


class MilvusSource:
    """See `index.ranking.Source`."""

    most = MOST_ROWS

    def __init__(self, connection: Connection, collection: str, dimension: int, expression: str) -> None:
        self._connection = connection
        self._collection = collection
        self._expression = expression
        self._dimension = dimension
        self._page = max(1, min(MOST_ROWS, _PAGE_BYTES // (4 * dimension)))
        self._names = _Numbers()
        self._cameras = _Numbers()
        self.moved = False

    def best(self, probes: Vectors, k: int, without: NDArray[np.int64]) -> Found:
        others = f"not ({one_of('identity', self._names.of(without))})" if len(without) else ""
        found = self._connection.search(self._collection, probes, k, self._and(others), ["identity"])
        scores = np.full((len(probes), k), -np.inf, np.float32)
        identities = np.zeros((len(probes), k), np.int64)
        for row, hits in enumerate(found):
            scores[row, : len(hits)] = [hit["distance"] for hit in hits]
            identities[row, : len(hits)] = [self._names.number(hit["entity"]["identity"]) for hit in hits]
        return scores, identities

    def images_of(self, identities: NDArray[np.int64]) -> Iterator[tuple[Images, Vectors]]:
        for start in range(0, len(identities), _NAMES_AT_ONCE):
            names = set(self._names.of(identities[start : start + _NAMES_AT_ONCE]))
            wanted = self._and(one_of("identity", names))
            for page in self._connection.pages(self._collection, wanted, _FIELDS, rows=self._page):
                names -= {row["identity"] for row in page}
                yield self._images(page), self._vectors(page)
            self.moved |= bool(names)

    def vectors(self, images: NDArray[np.int64]) -> Vectors:
        result = np.zeros((len(images), self._dimension), np.float32)
        positions = {image: row for row, image in enumerate(images.tolist())}
        condition = f"id in {list(positions)}"
        for page in self._connection.pages(self._collection, condition, ["vector"], rows=self._page):
            rows = [positions.pop(row["id"]) for row in page]
            result[rows] = self._vectors(page)
        self.moved |= bool(positions)
        return result

    def identity(self, number: int) -> str:
        return self._names.name(number)

    def camera(self, number: int) -> str | None:
        return self._cameras.name(number) or None

    def _and(self, more: str) -> str:
        return " and ".join(f"({part})" for part in (self._expression, more) if part)

    def _images(self, page: list[Row]) -> Images:
        images = np.zeros(len(page), IMAGE)
        images["id"] = [row["id"] for row in page]
        images["identity"] = [self._names.number(row["identity"]) for row in page]
        images["camera"] = [self._cameras.number(row["camera"]) for row in page]
        images["flagged"] = [row["flagged"] for row in page]
        return images

    def _vectors(self, page: list[Row]) -> Vectors:
        return np.array([row["vector"] for row in page], np.float32).reshape(-1, self._dimension)


class _Numbers:
    """Names by the numbers that they were met in, from 0 on."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, name: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self._names)
            self._names.append(name)
        return self._numbers[name]

    def name(self, number: int) -> str:
        return self._names[number]

    def of(self, numbers: NDArray[np.int64]) -> list[str]:
        return [self._names[number] for number in numbers.tolist()]
