"""k-reciprocal re-ranking (Zhong et al., Re-ranking Person Re-identification with k-reciprocal Encoding, CVPR 2017).

An image that has the probe among its own nearest neighbours is more likely to be right. Here the neighbours are
sought among the candidates of one probe only, not in the whole gallery. k1 = 20, k2 = 6 and lambda = 0.3 as in the
paper.
"""

import numpy as np
from numpy.typing import NDArray

from index.types import Vectors

CANDIDATES = 200  # images, at most


def distances(
    probe: Vectors, candidates: Vectors, k1: int = 20, k2: int = 6, weight: float = 0.3
) -> NDArray[np.float64]:
    """(D,) and (N, D), unit rows, to (N,): the smaller, the more alike; between 0 and 1."""
    rows = np.vstack([probe[None], candidates]).astype(np.float64)  # (M, D), M = N + 1; the probe is row 0
    squared = np.maximum(2 - 2 * rows @ rows.T, 0)  # (M, M) squared Euclidean distances
    original = squared / np.maximum(squared.max(axis=1, keepdims=True), 1e-12)
    order = np.argsort(original, axis=1, kind="stable")
    encoded = _encoded(original, order, k1)  # (M, M)
    expanded = (
        np.stack([encoded[order[row, :k2]].mean(axis=0) for row in range(len(rows))]) if k2 > 1 else encoded
    )
    shared = np.minimum(expanded[0], expanded[1:]).sum(axis=1)  # (N,), eq. (10)
    jaccard = 1 - shared / (2 - shared)
    final: NDArray[np.float64] = (1 - weight) * jaccard + weight * original[0, 1:]  # eq. (12)
    return final


def _encoded(original: NDArray[np.float64], order: NDArray[np.intp], k1: int) -> NDArray[np.float64]:
    """Each row's k-reciprocal neighbours, weighted by exp(-distance) and summing to 1: eq. (3) to (5), (7)."""
    near, half = _reciprocal(order, k1), _reciprocal(order, round(k1 / 2))
    encoded = np.zeros_like(original)
    for row in range(len(original)):
        members = near[row].copy()
        for neighbour in np.flatnonzero(near[row]):
            theirs = half[neighbour]
            if np.count_nonzero(theirs & near[row]) > 2 / 3 * np.count_nonzero(theirs):
                members |= theirs
        weights = np.exp(-original[row, members])
        encoded[row, members] = weights / weights.sum()
    return encoded


def _reciprocal(order: NDArray[np.intp], k: int) -> NDArray[np.bool_]:
    """(M, M): whether i and j are among each other's k nearest, themselves not counted."""
    forward = np.zeros(order.shape, np.bool_)
    np.put_along_axis(forward, order[:, : k + 1], True, axis=1)
    return forward & forward.T
