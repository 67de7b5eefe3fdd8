"""A disk that is full or fails: enrolment is refused with the right status, the rest goes on, and it recovers."""

import os
import resource
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from tests.support.disk import fill, small_disk
from tests.support.live import Live, serving, tiny_settings
from tests.support.pictures import encoded, low_resolution, person

URN = "urn:dgrl:problem:"


def enrol(client: httpx.Client, name: str, picture: bytes) -> httpx.Response:
    return client.post("/gallery", files={"images": picture}, data={"identity": name})


def large(seed: int) -> bytes:
    """A picture that does not compress: about 390 kB."""
    noise = np.random.default_rng(seed).integers(0, 256, (512, 256, 3), np.uint8)
    return encoded(Image.fromarray(noise))


def first(client: httpx.Client, number: int) -> str:
    probe = encoded(low_resolution(person(number, variant=1), 3))
    answer = client.post("/query", files={"images": probe}, data={"prefix": "p"})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["matches"][0]["identity"])


def refused_as_full(client: httpx.Client, seed: int) -> bool:
    answer = enrol(client, f"large {seed}", large(seed))
    if answer.status_code == 201:
        return False
    assert answer.status_code == 507 and answer.json()["type"] == URN + "storage-full", answer.text
    assert "the disk that holds the gallery is full" in answer.json()["detail"]
    assert "gallery.db" not in answer.text
    return True


def test_a_full_disk(tiny_bundle: Path) -> None:
    with (
        small_disk(100) as folder,
        serving(tiny_settings(tiny_bundle, folder / "data")) as live,
        live.client() as client,
    ):
        for number in range(6):
            assert enrol(client, f"p{number}", encoded(person(number))).status_code == 201
        filler = fill(folder, leave=3 * 2**20)
        stored = next(seed for seed in range(100) if refused_as_full(client, seed))
        assert stored < 10
        more = [seed for seed in range(100, 125) if not refused_as_full(client, seed)]
        assert len(more) < 8  # whoever goes on trying does not use up what deletions need
        for number in range(3):
            assert client.delete(f"/gallery/p{number}").status_code == 204
            assert client.get(f"/gallery/p{number}").status_code == 404
            assert first(client, 5) == "p5" and first(client, number) != f"p{number}"
        assert client.get("/readyz").status_code == 200
        kept = {found["identity"] for found in client.get("/gallery").json()["identities"]}
        assert kept == {"p3", "p4", "p5", *(f"large {seed}" for seed in (*range(stored), *more))}
        filler.unlink()
        assert enrol(client, "p9", encoded(person(9))).status_code == 201 and first(client, 9) == "p9"
    assert not folder.exists()


def test_a_file_that_cannot_be_written(serve: Callable[..., Live]) -> None:
    """The system refuses to let files grow, as a broken disk refuses to be written."""
    live = serve()
    wal = live.services.settings.data_dir / "gallery.db-wal"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with live.client() as client:
        assert enrol(client, "p1", encoded(person(1))).status_code == 201
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(wal) + 20_000, hard))
            answer = enrol(client, "large", large(1))
            assert answer.status_code == 503 and answer.json()["type"] == URN + "unavailable", answer.text
            assert "gallery.db" not in answer.text and first(client, 1) == "p1"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert enrol(client, "large", large(1)).status_code == 201
        assert [i["identity"] for i in client.get("/gallery").json()["identities"]] == ["large", "p1"]
