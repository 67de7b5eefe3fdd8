"""The scan over all segments of a view, shared out over the cores."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from index.segment import Mask, Segment
from index.selection import Choice
from index.types import Vectors
from index.view import View

Found = tuple[Vectors, NDArray[np.int64], NDArray[np.int64]]  # scores, row ids, identities


class Scanner:
    """FAISS does not split one flat query over threads: each core takes segments until none is left."""

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads or len(os.sched_getaffinity(0))
        self._pool = ThreadPoolExecutor(self.threads, "scan")

    def best(self, view: View, probe: Vectors, k: int, choice: Choice) -> tuple[Vectors, NDArray[np.int64]]:
        """The `k` best chosen images for one probe (1, D): scores, best first, and identities."""
        work = [
            (segment, chosen)
            for segment, chosen in zip(view.segments, choice, strict=True)
            if chosen is None or chosen.any()
        ]
        shares = [work[start :: self.threads] for start in range(min(self.threads, len(work)))]
        if len(shares) <= 1:
            found = [_scan(share, probe, k) for share in shares]
        else:
            found = list(self._pool.map(lambda share: _scan(share, probe, k), shares))
        scores, rows, identities = _joined(found)
        order = np.lexsort((rows, -scores))[:k]
        return scores[order], identities[order]

    def close(self) -> None:
        self._pool.shutdown()


def _scan(share: Iterable[tuple[Segment, Mask | None]], probe: Vectors, k: int) -> Found:
    found = []
    for segment, chosen in share:
        scores, positions = segment.scan(probe, k, chosen)
        found.append((scores, segment.columns.ids[positions], segment.columns.identities[positions]))
    return _joined(found)


def _joined(found: list[Found]) -> Found:
    if not found:
        return np.empty(0, np.float32), np.empty(0, np.int64), np.empty(0, np.int64)
    scores, rows, identities = zip(*found, strict=True)
    return np.concatenate(scores), np.concatenate(rows), np.concatenate(identities)
