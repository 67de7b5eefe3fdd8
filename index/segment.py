"""A block of vectors in memory: float16, scanned by FAISS, with the columns that filters look at.

Rows are appended behind `rows` and never change there; a deletion or a merge makes a new Segment that shares
the vectors. So a search that holds a Segment sees one state of it, whatever happens meanwhile.
"""

from dataclasses import dataclass, replace
from typing import Self

import faiss
import numpy as np
from numpy.typing import NDArray

from index.store import Rows
from index.types import Vectors

SEGMENT_ROWS = 16384

Mask = NDArray[np.bool_]


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
        columns = Rows(
            ids=np.zeros(capacity, np.int64),
            identities=np.zeros(capacity, np.int64),
            cameras=np.zeros(capacity, np.int64),
            times=np.zeros(capacity, np.int64),
            flagged=np.zeros(capacity, np.bool_),
            vectors=codes.view(np.float16).reshape(capacity, dimension),
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

    def scan(self, probe: Vectors, k: int, chosen: Mask | None) -> tuple[Vectors, NDArray[np.int64]]:
        """The `k` best chosen rows for one probe (1, D): scores, best first, and positions."""
        parameters, bits = faiss.SearchParameters(), _bits(chosen, self.capacity)
        if bits is not None:
            parameters.sel = faiss.IDSelectorBitmap(len(bits), faiss.swig_ptr(bits))
        elif self.rows < self.capacity:
            parameters.sel = faiss.IDSelectorRange(0, self.rows)
        faiss.omp_set_num_threads(1)  # of this thread: OpenMP's spinning costs more than one query is worth
        scores, positions = self.scanner.search(probe, min(k, self.rows), params=parameters)
        found = int(np.count_nonzero(positions[0] >= 0))
        return scores[0, :found], positions[0, :found]

    def decoded(self, positions: NDArray[np.intp]) -> Vectors:
        """(len(positions), D) float32."""
        faiss.omp_set_num_threads(1)
        codes = np.ascontiguousarray(self.columns.vectors[positions]).view(np.uint8)
        return np.asarray(self.scanner.sa_decode(codes), np.float32)


def _bits(chosen: Mask | None, capacity: int) -> NDArray[np.uint8] | None:
    if chosen is None:
        return None
    bits = np.zeros((capacity + 7) // 8, np.uint8)
    packed = np.packbits(chosen, bitorder="little")
    bits[: len(packed)] = packed
    return bits
