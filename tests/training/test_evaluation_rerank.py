"""k-reciprocal re-ranking against the paper's equations spelled out on dense arrays."""

import numpy as np
import pytest

from training.evaluation.rerank import Reranking, reranked
from training.evaluation.scorers import Labels, Market1501, inner_products


def clustered(seed: int, people: int = 8, each: int = 5) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((people, 12))
    who = np.repeat(np.arange(1, people + 1), each)
    vectors = centres[who - 1] + 0.8 * generator.standard_normal((len(who), 12))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), who


def oracle(probes: np.ndarray, gallery: np.ndarray, k1: int, k2: int, original: float) -> np.ndarray:
    """Equations 2 to 12 of the paper, on the full matrix of all images."""
    x = np.concatenate([probes, gallery]).astype(np.float64)
    n = len(x)
    distance = np.maximum(0, 2 - 2 * x @ x.T)
    np.fill_diagonal(distance, 0)
    distance /= distance.max(axis=1, keepdims=True)
    rank = np.argsort(distance + np.where(np.eye(n), -1, 0), axis=1, kind="stable")

    def reciprocal(i: int, k: int) -> set[int]:
        return {j for j in rank[i, : k + 1].tolist() if i in rank[j, : k + 1].tolist()}

    v = np.zeros((n, n))
    for i in range(n):
        own = reciprocal(i, k1)
        star = set(own)
        for j in own:
            other = reciprocal(j, round(k1 / 2))
            if len(other & own) > 2 / 3 * len(other):
                star |= other
        members = sorted(star)
        weights = np.exp(-distance[i, members])
        v[i, members] = weights / weights.sum()
    v = np.stack([v[rank[i, :k2]].mean(axis=0) for i in range(n)])
    p = len(probes)
    jaccard = np.array([[1 - np.minimum(a, b).sum() / np.maximum(a, b).sum() for b in v[p:]] for a in v[:p]])
    return -((1 - original) * jaccard + original * distance[:p, p:])


@pytest.mark.parametrize("setting", [Reranking(6, 3, 0.3), Reranking(5, 1, 0.0), Reranking(4, 2, 1.0)])
def test_equals_the_dense_oracle(setting: Reranking) -> None:
    vectors, _ = clustered(seed=1)
    probes, gallery = vectors[::5], np.delete(vectors, np.s_[::5], axis=0)
    got = reranked(probes, gallery, setting)(0, len(probes))
    expected = oracle(probes, gallery, setting.k1, setting.k2, setting.original)
    np.testing.assert_allclose(got, expected, atol=2e-5)


def test_rows_come_alike_in_any_pieces() -> None:
    vectors, _ = clustered(seed=2)
    rows = reranked(vectors[:10], vectors[10:])
    np.testing.assert_allclose(np.concatenate([rows(0, 3), rows(3, 10)]), rows(0, 10), atol=1e-6)


def test_clusters_rank_better() -> None:
    vectors, who = clustered(seed=3, people=30, each=8)
    probes = np.arange(len(who)) % 8 == 0
    sides = [Labels(who[part], np.full(part.sum(), camera)) for part, camera in ((probes, 1), (~probes, 2))]
    before = Market1501()(inner_products(vectors[probes], vectors[~probes]), *sides)
    after = Market1501()(reranked(vectors[probes], vectors[~probes], Reranking(7, 3)), *sides)
    assert after.average_precision.mean() > before.average_precision.mean() + 0.02


def test_a_gallery_smaller_than_k1() -> None:
    vectors, _ = clustered(seed=4, people=2, each=2)
    assert np.isfinite(reranked(vectors[:1], vectors[1:])(0, 1)).all()
