"""k-reciprocal re-ranking against sets and loops after the paper, and as an option of a search."""

import numpy as np
import pytest

from index import Enrolment
from index.rerank import distances
from index.types import Vectors
from tests.index.conftest import EVERY, Opener
from tests.index.people import unit

ENGINES = EVERY


def slowly(probe: Vectors, candidates: Vectors, k1: int, k2: int, weight: float) -> list[float]:
    rows = [probe.astype(np.float64), *candidates.astype(np.float64)]
    count = len(rows)
    squared = [[max(0.0, 2 - 2 * float(one @ other)) for other in rows] for one in rows]
    original = [[value / max(line) for value in line] for line in squared]
    order = [sorted(range(count), key=lambda other, line=line: (line[other], other)) for line in original]

    def reciprocal(row: int, k: int) -> set[int]:
        return {other for other in order[row][: k + 1] if row in order[other][: k + 1]}

    encoded = []
    for row in range(count):
        base = reciprocal(row, k1)
        members = set(base)
        for neighbour in base:
            theirs = reciprocal(neighbour, round(k1 / 2))
            if len(theirs & base) > 2 / 3 * len(theirs):
                members |= theirs
        total = sum(np.exp(-original[row][other]) for other in members)
        encoded.append([np.exp(-original[row][i]) / total if i in members else 0.0 for i in range(count)])
    expanded = [np.mean([encoded[other] for other in order[row][:k2]], axis=0) for row in range(count)]
    result = []
    for row in range(1, count):
        low = sum(min(a, b) for a, b in zip(expanded[0], expanded[row], strict=True))
        high = sum(max(a, b) for a, b in zip(expanded[0], expanded[row], strict=True))
        result.append((1 - weight) * (1 - low / high) + weight * original[0][row])
    return result


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_equals_the_paper(count: int) -> None:
    rng = np.random.default_rng(count)
    rows = unit(rng, count + 1, 8)
    for k1, k2, weight in ((20, 6, 0.3), (5, 2, 0.1), (3, 1, 0.5)):
        assert np.allclose(
            distances(rows[0], rows[1:], k1, k2, weight), slowly(rows[0], rows[1:], k1, k2, weight)
        )


def test_raises_whom_the_neighbours_speak_for(open_it: Opener) -> None:
    """A lone stranger is a little nearer to the probe than many images that are near to it and to each other."""
    rng = np.random.default_rng(0)
    centre, away = unit(rng, 2, 32)
    right = centre + 0.6 * unit(rng, 30, 32)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    probe = centre + 0.2 * unit(rng, 1, 32)[0]
    probe /= np.linalg.norm(probe)
    best = float((right @ probe).max())
    away -= (away @ probe) * probe
    stranger = (best + 0.01) * probe + np.sqrt(1 - (best + 0.01) ** 2) * away / np.linalg.norm(away)
    others = unit(rng, 60, 32)
    gallery = open_it(32)
    gallery.add([Enrolment("right", row, str(n)) for n, row in enumerate(right)])
    gallery.add([Enrolment("stranger", stranger.astype(np.float32), "x")])
    gallery.add([Enrolment(f"p{n}", row, "x") for n, row in enumerate(others)])
    plain = gallery.search(probe[None].astype(np.float32), 5)[0]
    again = gallery.search(probe[None].astype(np.float32), 5, rerank=True)[0]
    assert [match.identity for match in plain[:2]] == ["stranger", "right"]
    assert [match.identity for match in again[:2]] == ["right", "stranger"]
    assert {match.identity: match for match in plain}["right"] == again[0]  # score and images are the same
    assert len(again) == 5


def test_small_and_empty_galleries(open_it: Opener) -> None:
    gallery, rows = open_it(), unit(np.random.default_rng(0), 3, 16)
    assert gallery.search(rows[:1], 5, rerank=True) == [[]]
    gallery.add([Enrolment("a", rows[0], "x")])
    assert [match.identity for match in gallery.search(rows[:1], 5, rerank=True)[0]] == ["a"]
    gallery.add([Enrolment("b", rows[1], "x"), Enrolment("a", rows[2], "y")])
    found = gallery.search(rows, 5, rerank=True, min_score=0.99)
    assert [[match.identity for match in matches] for matches in found] == [["a"], ["b"], ["a"]]
