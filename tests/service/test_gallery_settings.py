"""The settings that shape the gallery: how it searches, and how long it keeps what was enrolled."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from index import Enrolment, open_gallery
from model.bundle.manifest import MANIFEST_NAME, Manifest
from tests.support.live import Live, tiny_settings
from tests.support.pictures import encoded, low_resolution, person


def test_an_approximate_index_is_named_with_its_recall(
    serve: Callable[..., Live], tiny_bundle: Path, tmp_path: Path
) -> None:
    manifest = Manifest.model_validate_json((tiny_bundle / MANIFEST_NAME).read_bytes())
    rows = np.random.default_rng(0).standard_normal((10_000, manifest.dimension)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    uri = tiny_settings(tiny_bundle, tmp_path / "data").gallery_uri
    gallery = open_gallery(uri, bundle_id=manifest.bundle_id, dimension=manifest.dimension)
    gallery.add([Enrolment(f"p{number}", row, "x") for number, row in enumerate(rows)])
    gallery.close()
    with serve(search="ivf").client() as client:
        end = time.monotonic() + 30
        while (search := client.get("/model").json()["search"])["recall"] is None:
            assert time.monotonic() < end, search
            time.sleep(0.05)
        assert search["method"] == "ivf" and search["indexed"] == 10_000 and 0.3 < search["recall"] <= 1
        assert "search: ivf from 10,000 images on" in " | ".join(client.get("/model").json()["notes"])
        picture = encoded(person(1))
        client.post("/gallery", files={"images": picture}, data={"identity": "new"})
        probe = encoded(low_resolution(person(1, variant=1), 2))
        [match] = client.post("/query", files={"images": probe}, data={"top_k": 1}).json()["matches"]
        assert match["identity"] == "new"


def test_a_small_gallery_is_searched_exactly(serve: Callable[..., Live]) -> None:
    with serve(search="hnsw").client() as client:
        assert client.get("/model").json()["search"] == {"method": "hnsw", "indexed": None, "recall": None}


def test_images_are_deleted_when_their_time_is_over(serve: Callable[..., Live]) -> None:
    live = serve(retention_days=0.5 / 86_400)
    with live.client() as client:
        assert "0 days" not in " | ".join(client.get("/model").json()["notes"])
        client.post("/gallery", files={"images": encoded(person(1))}, data={"identity": "anna"})
        time.sleep(0.6)
        live.services.gallery.expire()  # type: ignore[attr-defined]  # what it does by itself every 5 s
        assert client.get("/gallery/anna").status_code == 404
        assert client.post("/query", files={"images": encoded(person(1))}).json()["matches"] == []
