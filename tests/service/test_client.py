"""The Python client: every page, every call, refusals as exceptions, patience when the service is busy."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

from service.client import Client, ServiceError, pause
from tests.support.live import Live
from tests.support.pictures import encoded, low_resolution, person


@pytest.fixture
def mine(client: httpx.Client, live: Live) -> Client:
    """On an empty gallery."""
    return Client(live.url)


def test_listings_are_complete_beyond_one_page(mine: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.client.PAGE", "100")
    with mine:
        for number in range(103):
            mine.enrol(f"p{number:03}", [encoded(person(number))], camera="c1")
        assert [found.identity for found in mine.identities()] == [f"p{number:03}" for number in range(103)]
        assert [found.identity for found in mine.identities(prefix="p09")] == [
            f"p{n:03}" for n in range(90, 100)
        ]
        for start in range(0, 130, 65):
            mine.enrol("many", [encoded(person(n, variant=7)) for n in range(start, start + 64)])
        found = list(mine.images("many"))
        assert len(found) == 128 == len({image.image_id for image in found})


def test_every_call(mine: Client, tmp_path: Path) -> None:
    path = tmp_path / "人物.png"
    path.write_bytes(encoded(person(1)))
    with mine:
        image = mine.enrol("a/b", [path], metadata='{"x": 1}').images[0]
        assert image.filename == path.name and image.image_id is not None
        assert mine.picture("a/b", image.image_id) == path.read_bytes()
        crop = encoded(low_resolution(person(1, variant=1), 4))
        assert mine.query([crop], top_k=1, super_resolution="auto").matches[0].identity == "a/b"
        assert mine.verify([crop], identity="a/b").same is True
        vectors = [found.vector for found in mine.embed([crop, crop]).embeddings]
        np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
        assert mine.rename("a/b", "c").images == 1
        mine.remove("c", image.image_id)
        assert list(mine.identities()) == [] and mine.model()["manifest"]["name"] == "tiny"


def test_what_a_call_takes(mine: Client, tmp_path: Path) -> None:
    (path := tmp_path / "anna.png").write_bytes(encoded(person(1)))
    with mine:
        mine.enrol("anna", [str(path)], metadata={"shop": 1})
        assert next(mine.images("anna")).metadata == {"shop": 1}
        assert (
            mine.query([path], metadata={"shop": 1}).matches
            and not mine.query([path], metadata={"shop": 2}).matches
        )
        embedded = mine.embed([path])
        vector = embedded.embeddings[0].vector
        verified = mine.verify([], identity="anna", embedding=vector, bundle=embedded.bundle)
        assert verified.score == pytest.approx(1, abs=1e-3)
        with pytest.raises(ServiceError, match="images"):
            mine.embed([])


def test_a_refusal_is_an_exception_with_its_problem(mine: Client) -> None:
    with mine:
        with pytest.raises(ServiceError, match="no such identity") as caught:
            mine.remove("nobody")
        assert (
            caught.value.status == 404 and caught.value.problem["type"] == "urn:dgrl:problem:unknown-identity"
        )
        with pytest.raises(ServiceError, match=r"415.*not a JPEG"):
            mine.query([b"no picture"])


@pytest.mark.parametrize(
    ("told", "attempt", "seconds"),
    [
        ("2", 0, 2),
        ("3600", 0, 30),
        ("Mon, 23 Nov 2026 03:00:00 GMT", 1, 0.5),
        ("", 2, 1),
        ("", 9, 30),
        ("-1", 0, 0.25),
    ],
)
def test_how_long_a_busy_service_is_waited_for(told: str, attempt: int, seconds: float) -> None:
    assert pause(told, attempt) == seconds


def test_a_busy_service_is_asked_again(serve: Callable[..., Live]) -> None:
    live = serve(queue_images=1, max_images=1)
    admitted = live.services.admission.admit(1)
    admitted.__enter__()
    threading.Timer(0.5, lambda: admitted.__exit__(None, None, None)).start()
    start = time.monotonic()
    with Client(live.url) as mine:
        assert mine.embed([encoded(person(1))]).dimension == 16
    assert time.monotonic() - start >= 1  # the server's Retry-After
    with live.services.admission.admit(1), Client(live.url, retries=0) as mine, pytest.raises(ServiceError):
        mine.embed([encoded(person(1))])
