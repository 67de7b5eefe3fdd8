"""Changing the bundle of a gallery that serves: the way there, back, out, and what happens meanwhile."""

import gc
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from index import GalleryUnavailable
from model.bundle.manifest import MANIFEST_NAME, Manifest
from service.cli import app
from service.startup import StartupError
from tests.support.live import Live, serving, tiny_settings
from tests.support.pictures import encoded, low_resolution, person
from tests.support.tiny_bundle import make_tiny_bundle

URN = "urn:dgrl:problem:"
Serve = Callable[..., Live]


@pytest.fixture(scope="module")
def turned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives the scores of the tiny bundle from vectors of as many, other values."""
    return make_tiny_bundle(tmp_path_factory.mktemp("turned") / "bundle", turn=5)


@pytest.fixture(scope="module")
def wider(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bundle(tmp_path_factory.mktemp("wider") / "bundle", dimension=24)


def id_of(bundle: Path) -> str:
    return Manifest.model_validate_json((bundle / MANIFEST_NAME).read_bytes()).bundle_id


def enrol(client: httpx.Client, number: int) -> httpx.Response:
    picture = {"images": (f"{number}.png", encoded(person(number)))}
    return client.post("/gallery", files=picture, data={"identity": f"p{number}"})


def matches(client: httpx.Client, number: int) -> list[Any]:
    probe = encoded(low_resolution(person(number, variant=1), 3))
    return list(client.post("/query", files={"images": probe}).json()["matches"])


def scores(client: httpx.Client) -> dict[str, float]:
    """Of the first six people, for a probe of the third."""
    return {match["identity"]: match["score"] for match in matches(client, 2) if match["identity"] < "p6"}


def job_of(client: httpx.Client) -> dict[str, Any] | None:
    found = client.get("/reembedding").json()["job"]
    return None if found is None else dict(found)


def wait(client: httpx.Client) -> dict[str, Any]:
    """Until nothing is pending."""
    end = time.monotonic() + 60
    while (job := job_of(client)) is None or job["pending"] or job["state"] != "running":
        assert time.monotonic() < end and job is not None, job
        time.sleep(0.02)
    return job


def begin(client: httpx.Client) -> dict[str, Any]:
    assert client.post("/reembedding").status_code == 202
    return wait(client)


def vectors(data_dir: Path) -> dict[str, int]:
    """How many each space holds, by its state."""
    with sqlite3.connect(data_dir / "gallery.db") as store:
        spaces = store.execute("SELECT id, state FROM spaces").fetchall()
        return {
            state: store.execute(f"SELECT count(*) FROM vectors_{number}").fetchone()[0]
            for number, state in spaces
        }


def test_there_and_back(serve: Serve, tiny_bundle: Path, wider: Path, tmp_path: Path) -> None:
    live = serve(next_bundle=wider)
    with live.client() as client:
        for number in range(6):
            enrol(client, number)
        before = scores(client)
        assert client.get("/reembedding").json() == {
            "bundle": id_of(tiny_bundle),
            "next_bundle": id_of(wider),
            "job": None,
        }
        job = begin(client)
        assert (job["bundle"], job["images"], job["embedded"], job["missing"]) == (id_of(wider), 6, 6, 0)
        enrol(client, 6)  # in both spaces at once
        assert vectors(tmp_path / "data") == {"active": 7, "building": 7}
        assert scores(client) == before and client.get("/model").json()["bundle"] == id_of(tiny_bundle)

        sessions = weakref.ref(live.services.inference)
        assert client.post("/reembedding/switch").json()["bundle"] == id_of(wider)
        after = client.post("/query", files={"images": encoded(person(6))}).json()
        assert after["bundle"] == id_of(wider) and after["matches"][0]["identity"] == "p6"
        assert after["matches"][0]["score"] > 0.999
        model = client.get("/model").json()
        assert model["bundle"] == id_of(wider) and model["next_bundle"] == id_of(tiny_bundle)
        assert model["manifest"]["dimension"] == 24 and id_of(wider) in " ".join(model["notes"])
        assert f'bundle="{id_of(wider)}"' in client.get("/metrics").text
        assert client.get("/readyz").json()["bundle"] == id_of(wider)
        enrol(client, 7)
        assert vectors(tmp_path / "data") == {"active": 8, "retired": 7}
        gc.collect()
        assert sessions() is None  # the old bundle's memory is free again

        assert begin(client)["images"] == 8  # the way back: only what came since is embedded
        assert client.post("/reembedding/switch").json()["bundle"] == id_of(tiny_bundle)
        assert scores(client) == before
        assert matches(client, 7)[0]["identity"] == "p7"
        assert client.delete("/reembedding/previous").status_code == 204
        actions = [line["action"] for line in client.get("/audit").json()["lines"]]
        assert actions.count("switch") == 2 and actions[-1] == "discard"


def test_the_command_and_the_starts_after_it(
    serve: Serve, tiny_bundle: Path, turned: Path, tmp_path: Path
) -> None:
    live = serve(next_bundle=turned)
    runner = CliRunner(env={"DGRL_URL": live.url})
    with live.client() as client:
        for number in range(3):
            enrol(client, number)
        first = runner.invoke(app, ["reembed"])
        assert (
            first.exit_code == 0 and f"3 of 3 images are embedded with bundle {id_of(turned)}" in first.stdout
        )
        assert client.get("/model").json()["bundle"] == id_of(tiny_bundle)
        second = runner.invoke(app, ["reembed", "--switch"])
        assert f"searches go through bundle {id_of(turned)}" in second.stdout, second.output
        assert client.get("/model").json()["bundle"] == id_of(turned)
    live.services.gallery.close()
    for bundle, more in ((tiny_bundle, {"next_bundle": turned}), (turned, {})):
        with serving(tiny_settings(bundle, tmp_path / "data", **more)) as again, again.client() as client:
            assert client.get("/model").json()["bundle"] == id_of(turned)
            assert matches(client, 1)[0]["identity"] == "p1"
    with (
        pytest.raises(StartupError, match="own bundle as DGRL_BUNDLE and the new one as DGRL_NEXT_BUNDLE"),
        serving(tiny_settings(tiny_bundle, tmp_path / "data")),
    ):
        pass


def test_requests_under_way_never_see_two_bundles(serve: Serve, tiny_bundle: Path, turned: Path) -> None:
    """Vectors of the two bundles have the same length: mixed, they would give low scores instead of an error."""
    live, stop, faults, bundles = serve(next_bundle=turned), threading.Event(), [], set()
    with live.client() as client:
        for number in range(4):
            enrol(client, number)

    def ask() -> None:
        with live.client() as client:
            while not stop.is_set():
                answer = client.post("/query", files={"images": encoded(person(3))})
                body = answer.json()
                bundles.add(body.get("bundle"))
                if answer.status_code != 200 or body["matches"][0]["score"] < 0.999:
                    faults.append(answer.text)

    def add() -> None:
        number = 100
        with live.client() as client:
            while not stop.is_set():
                if (answer := enrol(client, number)).status_code != 201:
                    faults.append(answer.text)
                number += 1

    threads = [threading.Thread(target=work) for work in (ask, ask, add)]
    for thread in threads:
        thread.start()
    try:
        with live.client() as client:
            for _ in range(3):
                begin(client)
                switched = client.post("/reembedding/switch")
                assert switched.status_code == 200, switched.text
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not faults and bundles == {id_of(tiny_bundle), id_of(turned)}
    with live.client() as client:
        enrolled = client.get("/model").json()["gallery"]["images"]
    assert vectors(live.services.settings.data_dir)["active"] == enrolled > 4


def test_a_switch_that_fails_after_its_commit_is_a_switch(
    serve: Serve, turned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise GalleryUnavailable("the disk is gone")

    with serve(next_bundle=turned).client() as client:
        enrol(client, 1)
        begin(client)
        with monkeypatch.context() as patch:
            patch.setattr("index.database.Database.settle", fail)
            assert client.post("/reembedding/switch").status_code == 503
        assert client.get("/model").json()["bundle"] == id_of(turned)
        assert enrol(client, 2).status_code == 201 and matches(client, 1)[0]["identity"] == "p1"


def test_giving_up(serve: Serve, tiny_bundle: Path, turned: Path) -> None:
    live = serve(next_bundle=turned)
    with live.client() as client:
        enrol(client, 1)
        begin(client)
        assert CliRunner(env={"DGRL_URL": live.url}).invoke(app, ["reembed", "--give-up"]).exit_code == 0
        assert job_of(client) is None and matches(client, 1)[0]["identity"] == "p1"
        for method, path in (
            ("DELETE", "/reembedding"),
            ("POST", "/reembedding/switch"),
            ("GET", "/reembedding/missing"),
        ):
            answer = client.request(method, path)
            assert answer.status_code == 404 and answer.json()["type"] == URN + "no-reembedding"
        assert begin(client)["embedded"] == 1


def test_a_job_for_a_third_bundle(
    tiny_bundle: Path, turned: Path, wider: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(tiny_settings(tiny_bundle, tmp_path)) as live, live.client() as client:
        alone = client.post("/reembedding")
        assert alone.status_code == 409 and alone.json()["type"] == URN + "no-next-bundle"
        assert "DGRL_NEXT_BUNDLE" in alone.json()["detail"]
        enrol(client, 1)
    with serving(tiny_settings(tiny_bundle, tmp_path, next_bundle=turned)) as live, live.client() as client:
        begin(client)
    with serving(tiny_settings(tiny_bundle, tmp_path, next_bundle=wider)) as live, live.client() as client:
        refused = client.post("/reembedding")
        assert refused.status_code == 409 and refused.json()["type"] == URN + "reembedding-under-way"
        job = job_of(client)
        assert job and job["bundle"] == id_of(turned) and job["state"] == "waiting"
        assert f"a re-embedding to bundle {id_of(turned)} waits" in caplog.text
        refused = client.post("/reembedding/switch")
        assert refused.status_code == 409 and refused.json()["type"] == URN + "reembedding-incomplete"
        assert client.delete("/reembedding").status_code == 204
        assert begin(client)["bundle"] == id_of(wider)


def test_without_pictures_people_are_enrolled_again(serve: Serve, turned: Path) -> None:
    live = serve(next_bundle=turned, keep_images=False)
    with live.client() as client:
        for number in range(3):
            enrol(client, number)
        assert begin(client)["missing"] == 3
        listed = client.get("/reembedding/missing", params={"limit": 2}).json()
        assert [image["identity"] for image in listed["images"]] == ["p0", "p1"] and listed["next_cursor"]
        assert listed["images"][0]["filename"] == "0.png" and "not kept" in listed["images"][0]["reason"]
        assert (
            enrol(client, 1).json()["images"][0]["status"] == "duplicate"
        )  # with the new bundle's vector now
        enrol(client, 7)
        shown = CliRunner(env={"DGRL_URL": live.url}).invoke(app, ["reembed"])
        assert shown.stderr.count("must be enrolled again") == 2 and "p2/2.png" in shown.stderr
        refused = client.post("/reembedding/switch")
        assert refused.status_code == 409 and refused.json()["type"] == URN + "reembedding-incomplete"
        assert wait(client)["missing"] == 2  # it goes on
        done = client.post("/reembedding/switch", params={"forget_missing": True})
        assert done.status_code == 200, done.text
        names = [found["identity"] for found in client.get("/gallery").json()["identities"]]
        assert names == ["p1", "p7"] and matches(client, 1)[0]["identity"] == "p1"


def test_a_picture_that_is_refused_now_is_missing(tiny_bundle: Path, turned: Path, tmp_path: Path) -> None:
    with serving(tiny_settings(tiny_bundle, tmp_path)) as live, live.client() as client:
        enrol(client, 1)
    settings = tiny_settings(tiny_bundle, tmp_path, next_bundle=turned, min_height=65)
    with serving(settings) as live, live.client() as client:
        assert begin(client)["missing"] == 1
        [image] = client.get("/reembedding/missing").json()["images"]
        assert image["identity"] == "p1" and "64" in image["reason"]


def test_the_next_bundle_is_another_and_whole(tiny_bundle: Path, tmp_path: Path) -> None:
    for path, sentence in ((tiny_bundle, "is the same bundle"), (tmp_path, "no bundle in")):
        with (
            pytest.raises(StartupError, match=sentence),
            serving(tiny_settings(tiny_bundle, tmp_path / "data", next_bundle=path)),
        ):
            pass
