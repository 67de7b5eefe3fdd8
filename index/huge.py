"""Huge pages for the vectors: a scan reads them all in order, and with pages of 4 KB it takes a sixth longer."""

import ctypes
import sys

import numpy as np
from numpy.typing import NDArray

_HUGE_PAGE = 2 * 2**20
_COLLAPSE = 25  # MADV_COLLAPSE, Linux 6.1: now, not when the kernel finds time


def advise_huge_pages(rows: NDArray[np.float16]) -> None:
    """Ask for them; a system that does not grant them is slower, and nothing else."""
    if sys.platform != "linux":
        return
    start, end = rows.ctypes.data, rows.ctypes.data + rows.nbytes
    start, end = -(-start // _HUGE_PAGE) * _HUGE_PAGE, end // _HUGE_PAGE * _HUGE_PAGE  # whole pages inside
    if start < end:
        ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _COLLAPSE)
