"""The real server is killed under a gallery that goes on: 503 meanwhile, nothing lost, no restart of the service."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from index import Enrolment, Gallery, GalleryUnavailable, open_gallery
from tests.index.people import BUNDLE, one_hot
from tests.support.live import serving, tiny_settings
from tests.support.milvus_server import MilvusProcess, milvus_server
from tests.support.pictures import encoded, person

pytestmark = pytest.mark.milvus


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MilvusProcess]:
    with milvus_server(tmp_path / "milvus") as server:
        yield server


@pytest.fixture
def gallery(server: MilvusProcess) -> Iterator[Gallery]:
    gallery = open_gallery(f"milvus://{server.address}/killed", bundle_id=BUNDLE, dimension=16)
    yield gallery
    gallery.close()


def test_killed_and_started_again(
    server: MilvusProcess, gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    acknowledged, deleted = [], []
    for round in range(3):
        for row in range(16):
            name = f"p{round}-{row}"
            gallery.add([Enrolment(name, one_hot(16, row), "x")])
            acknowledged.append(name)
        deleted.append(acknowledged.pop(0))
        assert gallery.remove_identity(deleted[-1]) == 1
        server.kill()
        with monkeypatch.context() as impatient:
            impatient.setattr("index.milvus.connection._SECONDS", 1.0)
            impatient.setattr("index.milvus.connection._LONG_S", 1.0)
            for call in _calls(gallery):
                with pytest.raises(GalleryUnavailable, match="does not answer"):
                    call()
        server.start()
        until_answered(gallery)
        listed = [item.identity for item in gallery.identities(limit=100).items]
        assert listed == sorted(acknowledged), "lost, or back from the dead"
        assert gallery.count().images == len(acknowledged)
        found = {
            m.identity
            for row in range(16)
            for m in gallery.search(one_hot(16, row)[None], 99, min_score=0.9)[0]
        }
        assert found == set(acknowledged)


def _calls(gallery: Gallery) -> list[Callable[[], object]]:
    return [
        gallery.check,
        gallery.count,
        lambda: gallery.search(one_hot(16)[None], 1),
        lambda: gallery.add([Enrolment("late", one_hot(16), "x")]),
        lambda: gallery.remove_identity("p0-1"),
    ]


def until_answered(gallery: Gallery, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while True:
        try:
            gallery.check()
            return
        except GalleryUnavailable:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def test_the_service_answers_503_meanwhile(
    server: MilvusProcess, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"milvus://{server.address}/served?pictures={tmp_path / 'pictures'}"
    files = [("images", ("a.png", encoded(person(0)), "image/png"))]
    with serving(tiny_settings(tiny_bundle, tmp_path, gallery=uri)) as live, live.client() as client:
        assert client.post("/gallery", data={"identity": "anna"}, files=files).status_code == 201
        found = client.post("/query", files=files).json()
        assert [match["identity"] for match in found["matches"]] == ["anna"]
        server.kill()
        with monkeypatch.context() as impatient:
            impatient.setattr("index.milvus.connection._SECONDS", 1.0)
            impatient.setattr("index.milvus.connection._LONG_S", 1.0)
            assert client.post("/query", files=files).status_code == 503
            assert client.get("/readyz").status_code == 503
            assert client.delete("/gallery/anna").status_code == 503
        server.start()
        until_answered(live.services.gallery)
        assert client.post("/query", files=files).json()["matches"] == found["matches"]
        assert client.delete("/gallery/anna").status_code == 204
        assert client.post("/query", files=files).json()["matches"] == []
