"""The scan over all segments of a view, shared out over the cores."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import faiss
import numpy as np
from numpy.typing import NDArray

from index.segment import BLOCK_ROWS, MATRIX_FROM, Found, Mask, Segment, best_of
from index.selection import Choice
from index.types import Vectors
from index.view import View

Piece = Callable[[NDArray[np.int32]], Found]  # takes room to decode a block into


class Scanner:
    """FAISS does not split one flat query over threads: each core takes a piece until none is left."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, "scan")

    def best(self, view: View, probes: Vectors, k: int, choice: Choice) -> Found:
        """The `k` best chosen images for each of `probes` (Q, D): scores, best first, and identities; both (Q, <= k).

        Where fewer images are chosen, the scores end in -inf.
        """
        pieces = deque(_pieces(view, probes, k, choice))
        workers = min(self.threads, len(pieces))
        room = (BLOCK_ROWS if len(probes) >= MATRIX_FROM else 0, probes.shape[1])
        if workers <= 1:
            found = [_work(pieces, len(probes), k, room)]
        else:
            found = list(self._pool.map(lambda _: _work(pieces, len(probes), k, room), range(workers)))
        return best_of(found, k)

    def close(self) -> None:
        self._pool.shutdown()


def _pieces(view: View, probes: Vectors, k: int, choice: Choice) -> list[Piece]:
    work: list[Piece] = []
    for segment, chosen in zip(view.segments, choice, strict=True):
        if chosen is not None and not chosen.any():
            continue
        if len(probes) < MATRIX_FROM:
            work.append(partial(_scanned, segment, probes, k, chosen))
        else:
            work += [partial(_multiplied, segment, probes, k, rows) for rows in segment.blocks(chosen)]
    return work


def _scanned(segment: Segment, probes: Vectors, k: int, chosen: Mask | None, _: NDArray[np.int32]) -> Found:
    scores, positions = segment.scan(probes, k, chosen)
    return scores, segment.columns.identities[positions]


def _multiplied(
    segment: Segment, probes: Vectors, k: int, rows: NDArray[np.intp], scratch: NDArray[np.int32]
) -> Found:
    scores, positions = segment.multiply(probes, k, rows, scratch)
    return scores, segment.columns.identities[positions]


def _work(pieces: deque[Piece], probes: int, k: int, room: tuple[int, int]) -> Found:
    faiss.omp_set_num_threads(
        1
    )  # of this thread: the pieces are the parallelism, and OpenMP's spinning is costly
    scratch = np.empty(room, np.int32)
    found: list[Found] = [(np.empty((probes, 0), np.float32), np.empty((probes, 0), np.int64))]
    while True:
        try:
            piece = pieces.popleft()
        except IndexError:
            return best_of(found, k)
        found.append(piece(scratch))
