"""The scan over all segments of a view, shared out over the cores."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from index.segment import Found, Mask, Segment, best_of
from index.selection import Choice
from index.types import Vectors
from index.view import View


class Scanner:
    """FAISS does not split one flat query over threads: each core takes segments until none is left."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool = ThreadPoolExecutor(threads, "scan")

    def best(self, view: View, probes: Vectors, k: int, choice: Choice) -> Found:
        """The `k` best chosen images for each of `probes` (Q, D): scores, best first, and identities; both (Q, <= k).

        Where fewer images are chosen, the scores end in -inf.
        """
        chosen = zip(view.segments, choice, strict=True)
        work = deque((segment, mask) for segment, mask in chosen if mask is None or mask.any())
        workers = min(self.threads, len(work))
        if workers <= 1:
            found = [_scan(work, probes, k)]
        else:
            found = list(self._pool.map(lambda _: _scan(work, probes, k), range(workers)))
        return best_of(found, k)

    def close(self) -> None:
        self._pool.shutdown()


def _scan(work: deque[tuple[Segment, Mask | None]], probes: Vectors, k: int) -> Found:
    found: list[Found] = [(np.empty((len(probes), 0), np.float32), np.empty((len(probes), 0), np.int64))]
    while True:
        try:
            segment, chosen = work.popleft()
        except IndexError:
            return best_of(found, k)
        scores, positions = segment.scan(probes, k, chosen)
        found.append((scores, segment.columns.identities[positions]))
