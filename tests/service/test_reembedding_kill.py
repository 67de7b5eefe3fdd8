"""`kill -9` in the middle of a change of the bundle: the job goes on at the next start, and nothing is mixed."""

import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from index import Enrolment, Image, open_gallery
from model.bundle.manifest import MANIFEST_NAME, Manifest
from tests.support.pictures import encoded, person
from tests.support.process import started
from tests.support.tiny_bundle import make_tiny_bundle

PEOPLE = 500
_PLAIN = {"DGRL_PROVIDER": "cpu", "DGRL_THREADS": "1"}


def fill(data_dir: Path, manifest: Manifest) -> None:
    """Pictures with vectors that no encoder made: only those of the new bundle find anybody."""
    rows = np.random.default_rng(0).standard_normal((PEOPLE, manifest.dimension)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    uri = f"sqlite:///{data_dir / 'gallery.db'}"
    gallery = open_gallery(uri, bundle_id=manifest.bundle_id, dimension=manifest.dimension)
    pictures = [Image(encoded(person(number)), "image/png") for number in range(PEOPLE)]
    gallery.add(
        [Enrolment(f"p{n}", row, "x", image=pictures[n]) for n, row in enumerate(rows)],
        bundle_id=manifest.bundle_id,
    )
    gallery.close()


def state(url: str) -> dict[str, Any]:
    return dict(httpx.get(f"{url}/reembedding", timeout=30).json())


def wait(url: str, embedded: int) -> int:
    end = time.monotonic() + 100
    while (job := state(url)["job"])["embedded"] < embedded:
        assert time.monotonic() < end and job["state"] != "waiting", job
        time.sleep(0.002)
    return int(job["embedded"])


def test_it_goes_on_where_it_was_killed(tiny_bundle: Path, tmp_path: Path) -> None:
    turned = make_tiny_bundle(tmp_path / "turned", turn=5)
    old, new = (
        Manifest.model_validate_json((path / MANIFEST_NAME).read_bytes()) for path in (tiny_bundle, turned)
    )
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    fill(data_dir, old)
    settings = {**_PLAIN, "DGRL_NEXT_BUNDLE": str(turned)}
    with started(tiny_bundle, data_dir, settings=settings) as process:
        assert httpx.post(f"{process.url}/reembedding", timeout=30).status_code == 202
        reached = wait(process.url, 1)
        process.kill()
    assert reached < PEOPLE, "the job was done before it could be killed"
    with started(tiny_bundle, data_dir, settings=settings) as process:
        found = state(process.url)
        assert found["bundle"] == old.bundle_id and found["job"]["embedded"] >= reached
        assert "goes on" in process.log()
        assert wait(process.url, PEOPLE) == PEOPLE
        switched = httpx.post(f"{process.url}/reembedding/switch", timeout=30)
        process.kill()  # as soon as it has answered
    assert switched.json()["bundle"] == new.bundle_id
    with started(tiny_bundle, data_dir, settings=settings) as process:
        assert state(process.url) == {
            "bundle": new.bundle_id,
            "next_bundle": old.bundle_id,
            "job": None,
        }
        for number in range(0, PEOPLE, 100):
            picture = {"images": encoded(person(number))}
            answer = httpx.post(f"{process.url}/query", files=picture, timeout=30).json()
            assert answer["bundle"] == new.bundle_id
            assert answer["matches"][0]["identity"] == f"p{number}" and answer["matches"][0]["score"] > 0.999
