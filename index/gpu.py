"""A flat FAISS index in GPU memory: a copy of the vectors, which the CPU keeps as the truth.

It holds float32, so that its scores are those of the stored float16 vectors: 2 GB for a million of 512 values.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from index.errors import GalleryUnavailable
from index.types import Vectors

_SCRATCH_BYTES = 256 * 2**20  # FAISS takes 1.5 GB where it is not told


def require_gpu() -> None:
    """Raises GalleryUnavailable where FAISS has no GPU to search on."""
    if not hasattr(faiss, "StandardGpuResources"):
        raise GalleryUnavailable(
            f"search on a GPU was asked for, but the installed FAISS {faiss.__version__} is built without it: "
            "install faiss-gpu instead of faiss-cpu, or choose another search"
        )
    if faiss.get_num_gpus() == 0:
        raise GalleryUnavailable("search on a GPU was asked for, but FAISS finds none: see `nvidia-smi`")


class GpuFlat:
    """The part of `faiss.Index` that the scan needs. One thread does all of it: GPU indexes bear no more."""

    def __init__(self, dimension: int) -> None:
        self._thread = ThreadPoolExecutor(1, "GPU search")
        self._index = self._thread.submit(_flat, dimension).result()

    def add(self, vectors: Vectors) -> None:
        self._thread.submit(self._index.add, vectors).result()

    def search(self, probes: Vectors, k: int) -> tuple[Vectors, NDArray[np.int64]]:
        """Scores, best first, and positions, both (Q, k); -1 where there are fewer."""
        found: tuple[Vectors, NDArray[np.int64]] = self._thread.submit(self._index.search, probes, k).result()
        return found


def _flat(dimension: int) -> Any:
    resources = faiss.StandardGpuResources()
    resources.setTempMemory(_SCRATCH_BYTES)
    index: Any = faiss.GpuIndexFlatIP(resources, dimension)
    index.referenced_objects = [resources]  # they must outlive the index
    return index
