"""A second index finds most, invents nothing, and sees every change at once."""

import faiss
import numpy as np
import pytest

from index import Enrolment, Filters, Gallery
from index.types import SearchMethod, Vectors
from tests.index.conftest import Opener
from tests.index.people import unit

DIMENSION, PEOPLE = 32, 300


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    """(PEOPLE * 10, DIMENSION): ten images around each person's centre."""
    rng = np.random.default_rng(0)
    rows = np.repeat(unit(rng, PEOPLE, DIMENSION), 10, axis=0) + 0.5 * unit(rng, PEOPLE * 10, DIMENSION)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def fill(gallery: Gallery, vectors: Vectors, start: int, stop: int) -> None:
    gallery.add([Enrolment(f"p{n // 10}", vectors[n], str(n), f"c{n % 3}") for n in range(start, stop)])


@pytest.fixture
def built(
    open_it: Opener, vectors: Vectors, method: SearchMethod, monkeypatch: pytest.MonkeyPatch
) -> Gallery:
    """Over the first 2,500 images."""
    monkeypatch.setattr("index.accelerated.FROM_IMAGES", 1000)
    if method == "gpu" and not on_a_gpu():  # all but the device itself
        monkeypatch.setattr("index.accelerated.require_gpu", lambda: None)
        monkeypatch.setattr("index.gpu._flat", faiss.IndexFlatIP)
    monkeypatch.setattr("index.view.SEGMENT_ROWS", 512)
    monkeypatch.setattr("index.maintenance.PERIOD_SECONDS", 1000)  # the test says when
    gallery = open_it(DIMENSION, search=method)
    assert gallery.acceleration is None
    fill(gallery, vectors, 0, 2500)
    refresh(gallery)
    return gallery


def on_a_gpu() -> bool:
    return hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0


def refresh(gallery: Gallery) -> None:
    gallery._refresh()  # type: ignore[attr-defined]
    gallery._scanner.wait()  # type: ignore[attr-defined]


pytestmark = pytest.mark.parametrize("method", ["hnsw", "ivf", "gpu"])


def test_recall_is_measured_and_high(built: Gallery, vectors: Vectors, method: SearchMethod) -> None:
    about = built.acceleration
    assert about is not None
    assert (about.method, about.images) == (method, 2500)
    assert (1 if method == "gpu" else 0.9) <= about.recall <= 1
    found = built.search(vectors[:2500:10], 3)
    assert np.mean([matches[0].identity == f"p{n}" for n, matches in enumerate(found)]) > 0.99
    assert len({match.identity for match in found[0]}) == 3


def test_scores_are_exact(built: Gallery, open_it: Opener, vectors: Vectors) -> None:
    found = built.search(vectors[:20], 10)
    built.close()
    exact = open_it(DIMENSION).search(vectors[:20], 250)
    for approximate, everything in zip(found, exact, strict=True):
        by_name = {match.identity: match for match in everything}
        assert all(match == by_name[match.identity] for match in approximate)


def test_changes_are_seen_at_once(built: Gallery, vectors: Vectors) -> None:
    before = built.acceleration
    fill(built, vectors, 2500, 2700)
    assert built.search(vectors[2600:2601], 1)[0][0].identity == "p260"
    built.remove_identity("p7")
    built.rename("p8", "somebody")
    built.remove_image("p9", built.images("p9").items[0].image_id)
    names = {match.identity for matches in built.search(vectors[70:100], 20) for match in matches}
    assert "p7" not in names
    assert {"somebody", "p9"} <= names
    assert "p8" not in names
    refresh(built)
    assert built.acceleration is before  # too little has changed
    fill(built, vectors, 2700, 3000)
    built.add([Enrolment(f"q{n // 10}", vectors[n], str(n)) for n in range(0, 800)])
    refresh(built)
    assert built.acceleration is not None
    assert built.acceleration.images == built.count().images
    assert built.search(vectors[2990:2991], 1)[0][0].identity == "p299"
    built.check()


def test_filters(built: Gallery, vectors: Vectors) -> None:
    for filters in (Filters(cameras=frozenset({"c1"})), Filters(prefix="p24")):
        for matches in built.search(vectors[2401:2450:3], 5, filters=filters):
            assert matches[0].identity.startswith("p24")
            assert all(support.camera == "c1" for support in matches[0].images) or filters.prefix


def test_one_person_owns_most_images(built: Gallery, vectors: Vectors) -> None:
    around = vectors[:1] + 0.05 * unit(np.random.default_rng(1), 400, DIMENSION)
    around /= np.linalg.norm(around, axis=1, keepdims=True)
    built.add([Enrolment("crowd", row, str(n)) for n, row in enumerate(around)])
    matches = built.search(vectors[:1], 10)[0]
    assert len(matches) == 10
    assert {"crowd", "p0"} <= {match.identity for match in matches}


def test_more_than_it_can_find(built: Gallery, vectors: Vectors) -> None:
    assert len(built.search(vectors[:1], 250)[0]) == 250


def test_an_index_that_cannot_be_built_is_an_error_in_the_log_and_not_tried_without_end(
    built: Gallery, vectors: Vectors, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before, attempts = built.acceleration, 0

    def failing(*_: object) -> None:
        nonlocal attempts
        attempts += 1
        raise MemoryError("no room")

    monkeypatch.setattr(built._scanner, "_untrained", failing)  # type: ignore[attr-defined]
    built.add([Enrolment(f"q{n // 10}", vectors[n], str(n)) for n in range(0, 800)])
    refresh(built)
    refresh(built)
    assert attempts == 1 and "could be built" in caplog.text
    assert built.acceleration is before
    assert {"q1", "p1"} <= {match.identity for match in built.search(vectors[15:16], 5)[0]}
    monkeypatch.setattr(built._scanner, "_not_before", 0.0)  # type: ignore[attr-defined]
    refresh(built)
    assert attempts == 2
