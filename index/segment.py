"""A block of vectors in memory: float16, scanned by FAISS, with the columns that filters look at.

Rows are appended behind `rows` and never change there; a deletion or a merge makes a new Segment that shares
the vectors. So a search that holds a Segment sees one state of it, whatever happens meanwhile.
"""

from dataclasses import dataclass, replace
from typing import Self

import faiss
import numpy as np
from numpy.typing import NDArray

from index.half import decode
from index.huge import advise_huge_pages
from index.store import Rows
from index.types import Vectors

SEGMENT_ROWS = 16384

MATRIX_FROM = (
    12  # probes: from here on, decoding a block for all of them costs less than scanning it for each
)
BLOCK_ROWS = 4096
_MANY = 0.25

Mask = NDArray[np.bool_]
Found = tuple[Vectors, NDArray[np.int64]]  # (Q, k) scores, and positions or identities

faiss.cvar.distance_compute_blas_threshold = (
    1  # faiss.knn is called for many probes only; FAISS waits until 128,000
)


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """`columns` have `capacity` rows; the first `rows` are filled, ids ascending. `alive` None: all."""

    scanner: faiss.IndexScalarQuantizer  # holds `capacity` codes; what lies behind `rows` is never selected
    columns: Rows
    rows: int
    alive: Mask | None = None

    @classmethod
    def empty(cls, dimension: int, capacity: int) -> Self:
        scanner = faiss.IndexScalarQuantizer(
            dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        scanner.codes.resize(capacity * scanner.code_size)
        scanner.ntotal = capacity
        codes = faiss.rev_swig_ptr(scanner.codes.data(), capacity * scanner.code_size)
        vectors = codes.view(np.float16).reshape(capacity, dimension)
        advise_huge_pages(vectors)
        columns = Rows(
            ids=np.zeros(capacity, np.int64),
            identities=np.zeros(capacity, np.int64),
            cameras=np.zeros(capacity, np.int64),
            times=np.zeros(capacity, np.int64),
            flagged=np.zeros(capacity, np.bool_),
            vectors=vectors,
        )
        return cls(scanner, columns, 0)

    @property
    def capacity(self) -> int:
        return len(self.columns.ids)

    @property
    def living(self) -> int:
        return self.rows if self.alive is None else int(np.count_nonzero(self.alive))

    def mask(self) -> Mask:
        """(rows,) which of them exist."""
        return np.ones(self.rows, np.bool_) if self.alive is None else self.alive

    def filled(self, rows: int) -> Self:
        """With its first rows, which were written into the columns directly."""
        return replace(self, rows=rows)

    def append(self, new: Rows, start: int, stop: int) -> Self:
        """With rows `start` to `stop` of `new` behind its own. There must be room."""
        end = self.rows + stop - start
        for name in Rows.__slots__:
            getattr(self.columns, name)[self.rows : end] = getattr(new, name)[start:stop]
        alive = None if self.alive is None else np.append(self.alive, np.ones(stop - start, np.bool_))
        return replace(self, rows=end, alive=alive)

    def positions(self, ids: NDArray[np.int64]) -> NDArray[np.intp]:
        """Where those of `ids` are that this segment holds."""
        own = self.columns.ids[: self.rows]
        found = np.searchsorted(own, ids)
        found = found[(found < self.rows)]
        candidates = np.unique(found)
        return candidates[np.isin(own[candidates], ids)]

    def without(self, ids: NDArray[np.int64]) -> Self:
        positions = self.positions(ids)
        if not len(positions):
            return self
        alive = self.mask().copy()
        alive[positions] = False
        return replace(self, alive=alive)

    def reassigned(self, ids: NDArray[np.int64], identity: int) -> Self:
        """With the images `ids` given to another identity."""
        positions = self.positions(ids)
        if not len(positions):
            return self
        identities = self.columns.identities.copy()
        identities[positions] = identity
        return replace(self, columns=replace(self.columns, identities=identities))

    def scan(self, probes: Vectors, k: int, chosen: Mask | None) -> Found:
        """The best chosen rows for each of `probes` (Q, D): scores and positions (Q, <= k), best first.

        FAISS reads the float16 codes once for each probe: bound by memory. Padded with -inf.
        """
        if chosen is None:
            return self._scan(probes, k, None)
        share = np.count_nonzero(chosen) / self.rows
        if share > _MANY:  # skipping row after row, unpredictably, costs more than reading them all
            scores, positions = self._scan(probes, int(1.5 * k / share) + 16, None)
            scores[~chosen[positions]] = -np.inf
            enough = np.count_nonzero(scores > -np.inf, axis=1) >= min(k, positions.shape[1])
            if enough.all():
                return best_of([(scores, positions)], k)
        return self._scan(probes, k, chosen)

    def _scan(self, probes: Vectors, k: int, chosen: Mask | None) -> Found:
        parameters, bits = faiss.SearchParameters(), _bits(chosen, self.capacity)
        if bits is not None:
            parameters.sel = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
        elif self.rows < self.capacity:
            parameters.sel = faiss.IDSelectorRange(0, self.rows)
        scores, positions = self.scanner.search(probes, min(k, self.rows), params=parameters)
        scores[positions < 0] = -np.inf
        return scores, positions

    def blocks(self, chosen: Mask | None) -> list[NDArray[np.intp]]:
        """The positions of the chosen rows, at most BLOCK_ROWS at a time."""
        rows = np.arange(self.rows) if chosen is None else np.flatnonzero(chosen)
        return [rows[start : start + BLOCK_ROWS] for start in range(0, len(rows), BLOCK_ROWS)]

    def multiply(self, probes: Vectors, k: int, rows: NDArray[np.intp], scratch: NDArray[np.int32]) -> Found:
        """As `scan`, of one block: many probes share its decoding, and a matrix product does the rest."""
        whole = len(rows) == rows[-1] - rows[0] + 1
        codes = self.columns.vectors[rows[0] : rows[-1] + 1] if whole else self.columns.vectors[rows]
        block = decode(codes, scratch)
        scores, positions = faiss.knn(probes, block, min(k, len(block)), metric=faiss.METRIC_INNER_PRODUCT)
        return scores, rows[positions]

    def decoded(self, positions: NDArray[np.intp]) -> Vectors:
        """(len(positions), D) float32."""
        return decode(self.columns.vectors[positions])


def best_of(found: list[Found], k: int) -> Found:
    """The `k` best of several results for the same Q probes."""
    scores = np.concatenate([one for one, _ in found], axis=1)  # (Q, sum of k)
    others = np.concatenate([other for _, other in found], axis=1)
    if scores.shape[1] > k:
        kept = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        scores, others = np.take_along_axis(scores, kept, 1), np.take_along_axis(others, kept, 1)
    order = np.argsort(-scores, axis=1)
    return np.take_along_axis(scores, order, 1), np.take_along_axis(others, order, 1)


def _bits(chosen: Mask | None, capacity: int) -> NDArray[np.uint8] | None:
    if chosen is None:
        return None
    bits = np.zeros((capacity + 7) // 8, np.uint8)
    packed = np.packbits(chosen, bitorder="little")
    bits[: len(packed)] = packed
    return bits
