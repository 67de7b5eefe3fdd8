"""Search through a second index, for galleries in which even the memory's speed is too slow. A setting.

HNSW or IVF, which are approximate, or a flat index on a GPU, which is not, over the images that were there when it
was built. What came since is scanned exactly beside it; what was deleted or is filtered out is passed over among its
results, at once; and it is built anew, in the background, when much has changed. Scores always come from the stored
vectors, so an answer may lack an identity but never ranks one wrongly. It is held in memory only: a file of it would
keep deleted vectors.
"""

import logging
import math
import threading
import time
from dataclasses import dataclass, replace
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from index.gpu import GpuFlat, require_gpu
from index.half import decode
from index.scan import Scanner
from index.segment import Found, best_of
from index.selection import Choice
from index.types import Acceleration, SearchMethod, Vectors
from index.view import Space, View, living_rows

log = logging.getLogger(__name__)
FROM_IMAGES = 10_000  # below, an exact search is as quick
_RETRY_S = 300.0
_SAMPLES, _TOP_K = 64, 10
_FEWEST = 0.2  # share of the images that must be chosen; fewer are scanned exactly
_MOST = (
    512  # results for a probe; more are found exactly. Twice as many are asked for: a GPU gives at most 2,048
)


@dataclass(frozen=True, slots=True)
class _Base:
    """`ids` (N,) ascending: the images that the index knows by their position."""

    index: Any  # faiss.Index or GpuFlat
    ids: NDArray[np.int64]
    space: Space
    about: Acceleration


class AcceleratedScanner(Scanner):
    def __init__(self, threads: int, method: SearchMethod) -> None:
        if method == "gpu":
            require_gpu()
        super().__init__(threads)
        self._method: SearchMethod = method
        self._base: _Base | None = None
        self._building: threading.Thread | None = None
        self._stopping = False
        self._not_before = 0.0  # of time.monotonic()

    @property
    def acceleration(self) -> Acceleration | None:
        return None if self._base is None else self._base.about

    def refresh(self, view: View) -> None:
        """Begin to build the index if it is missing or much has changed, unless that is going on already."""
        going_on = self._building and self._building.is_alive()
        if going_on or time.monotonic() < self._not_before or not _is_due(self._base, view):
            return
        self._building = threading.Thread(
            target=self._try_to_build, args=(view,), name="second index", daemon=True
        )
        self._building.start()

    def wait(self) -> None:
        if self._building:
            self._building.join()

    def _try_to_build(self, view: View) -> None:
        try:
            self._build(view)
        except Exception:  # out of memory, on the GPU as well
            self._not_before = time.monotonic() + _RETRY_S
            log.exception(
                "search: no %s over %d images could be built; searches go on as before, and it is tried again"
                " in %d s",
                self._method, view.images, _RETRY_S,
            )  # fmt: skip

    def _build(self, view: View) -> None:
        started = time.perf_counter()
        faiss.omp_set_num_threads(self.threads)
        index, ids = self._untrained(view), []
        for rows in living_rows(view):
            if self._stopping:
                return
            index.add(decode(rows.vectors))
            ids.append(rows.ids)
        base = _Base(
            index, np.concatenate(ids), view.space, Acceleration(self._method, view.images, 0.0, 0.0)
        )
        recall, seconds = self._recall(view, base), time.perf_counter() - started
        self._base = replace(base, about=Acceleration(self._method, view.images, recall, seconds))
        log.info(
            "search: %s over %d images finds %.1f%% of the %d best, built in %.1f s",
            self._method, view.images, 100 * recall, _TOP_K, seconds,
        )  # fmt: skip

    def _untrained(self, view: View) -> Any:
        dimension, metric = view.space.dimension, faiss.METRIC_INNER_PRODUCT
        index: Any
        if self._method == "gpu":
            return GpuFlat(dimension)
        if self._method == "hnsw":
            index = faiss.index_factory(dimension, "HNSW32,SQfp16", metric)
            index.hnsw.efConstruction, index.hnsw.efSearch = 80, 128
            index.is_trained = True  # float16 needs no training
            return index
        lists = max(16, min(int(4 * math.sqrt(view.images)), view.images // 64))
        index = faiss.index_factory(dimension, f"IVF{lists},SQfp16", metric)
        index.nprobe = max(16, lists // 16)
        share = max(1, view.images // (64 * lists))
        index.train(np.concatenate([decode(rows.vectors[::share]) for rows in living_rows(view)]))
        return index

    def _recall(self, view: View, base: _Base) -> float:
        """The share of the exact search's best images that is found, for stored vectors with noise added."""
        rng = np.random.default_rng(0)
        drawn = [
            rows.vectors[rng.integers(0, len(rows.ids), _SAMPLES)]
            for rows in living_rows(view)
            if len(rows.ids)
        ]
        probes = decode(rng.permutation(np.concatenate(drawn))[:_SAMPLES])
        probes += rng.standard_normal(probes.shape, dtype=np.float32) / math.sqrt(probes.shape[1])
        probes /= np.linalg.norm(probes, axis=1, keepdims=True)
        everything: Choice = [segment.alive for segment in view.segments]
        exact, _ = super().best(view, probes, _TOP_K, everything)
        found, _ = _found(base, view, probes, _TOP_K, everything)
        return float(np.mean(found >= exact[:, -1:] - 1e-5))

    def best(self, view: View, probes: Vectors, k: int, choice: Choice) -> Found:
        base = self._base
        if base is None or base.space != view.space or k > _MOST or _share(view, choice) < _FEWEST:
            return super().best(view, probes, k, choice)
        faiss.omp_set_num_threads(min(self.threads, len(probes)))
        old = _found(base, view, probes, k, choice)
        if np.isneginf(old[0]).any():  # too many of its results are deleted or filtered out
            return super().best(view, probes, k, choice)
        new = super().best(view, probes, k, _since(view, choice, base.ids[-1]))
        return best_of([old, new], k)

    def close(self) -> None:
        self._stopping = True
        self.wait()
        super().close()


def _is_due(base: _Base | None, view: View) -> bool:
    if view.images < FROM_IMAGES:
        return False
    if base is None or base.space != view.space:
        return True
    everything: Choice = [segment.alive for segment in view.segments]
    new = _count(view, _since(view, everything, base.ids[-1]))
    gone = len(base.ids) - (view.images - new)
    return new + gone > len(base.ids) // 5


def _found(base: _Base, view: View, probes: Vectors, k: int, choice: Choice) -> Found:
    """Scores and identities (Q, k) of those results that are chosen; -inf where there are not enough."""
    scores, positions = base.index.search(probes, min(2 * k, len(base.ids)))
    identities = _identities(view, choice, np.where(positions >= 0, base.ids[positions], 0))
    scores[identities == 0] = -np.inf
    return best_of([(scores, identities)], k)


def _identities(view: View, choice: Choice, ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Whose images these are, of the same shape; 0 for those that are not among the chosen."""
    identities = np.zeros(ids.shape, np.int64)
    starts = np.array([segment.columns.ids[0] for segment in view.segments], np.int64)
    owners = np.searchsorted(starts, ids, side="right") - 1
    for number in np.unique(owners[owners >= 0]).tolist():
        segment, chosen = view.segments[number], choice[number]
        columns, here = segment.columns, np.nonzero(owners == number)
        at = np.minimum(np.searchsorted(columns.ids[: segment.rows], ids[here]), segment.rows - 1)
        valid = columns.ids[at] == ids[here]
        if chosen is not None:
            valid &= chosen[at]
        identities[here] = np.where(valid, columns.identities[at], 0)
    return identities


def _since(view: View, choice: Choice, last: np.int64) -> Choice:
    """Of the chosen images those with a greater id than `last`."""
    result: Choice = []
    for segment, chosen in zip(view.segments, choice, strict=True):
        new = segment.columns.ids[: segment.rows] > last
        result.append(new if chosen is None else chosen & new)
    return result


def _share(view: View, choice: Choice) -> float:
    return _count(view, choice) / max(1, view.images)


def _count(view: View, choice: Choice) -> int:
    return sum(
        segment.rows if chosen is None else int(np.count_nonzero(chosen))
        for segment, chosen in zip(view.segments, choice, strict=True)
    )
