"""Backup of a service at work, from another process; restored elsewhere it ranks alike."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from service.cli import app
from tests.support.live import Live, serving, tiny_settings
from tests.support.pictures import encoded, low_resolution, person
from tests.support.process import environment
from tests.support.tiny_bundle import make_tiny_bundle

PEOPLE = range(8)


def enrol(client: httpx.Client, name: str, seed: int) -> None:
    picture = {"images": encoded(person(seed))}
    assert client.post("/gallery", files=picture, data={"identity": name}).status_code == 201


def rankings(client: httpx.Client) -> list[Any]:
    probes = [encoded(low_resolution(person(n, variant=1), 4)) for n in PEOPLE]
    answers = [client.post("/query", files={"images": p}, data={"prefix": "p"}).json() for p in probes]
    return [answer["matches"] for answer in answers]


def backup(bundle: Path, data_dir: Path, target: Path) -> str:
    """As its user runs it: in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "service.cli", "backup", str(target), "--data-dir", str(data_dir)],
        env=environment() | {"DGRL_BUNDLE": str(bundle)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def run(tiny_bundle: Path) -> Callable[..., Result]:
    runner = CliRunner(env={"DGRL_BUNDLE": str(tiny_bundle)})
    return lambda *arguments: runner.invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def saved(serve: Callable[..., Live], tiny_bundle: Path, tmp_path: Path) -> Iterator[tuple[Live, Path]]:
    """A running service with some people, and a backup of it."""
    live = serve()
    with live.client() as client:
        for number in PEOPLE:
            enrol(client, f"p{number}", number)
    target = tmp_path / "backup"
    assert "8 images of 8 identities" in backup(tiny_bundle, tmp_path / "data", target)
    yield live, target


def test_while_enrolling_goes_on(
    serve: Callable[..., Live], tiny_bundle: Path, tmp_path: Path, run: Callable[..., Result]
) -> None:
    live, target, elsewhere = serve(), tmp_path / "backup", tmp_path / "elsewhere"
    with live.client() as client:
        for number in PEOPLE:
            enrol(client, f"p{number}", number)
        expected = rankings(client)
    stop, enrolled = threading.Event(), 0

    def go_on() -> None:
        nonlocal enrolled
        with live.client() as client:
            while not stop.is_set():
                enrol(client, f"later-{enrolled:05}", 100 + enrolled)
                enrolled += 1

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        backup(tiny_bundle, tmp_path / "data", target)
    finally:
        stop.set()
        thread.join()
    assert run("restore", target, "--data-dir", elsewhere).exit_code == 0
    with serving(tiny_settings(tiny_bundle, elsewhere)) as other, other.client() as client:
        assert rankings(client) == expected
        found = [i["identity"] for i in client.get("/gallery", params={"limit": 1000}).json()["identities"]]
        later = [name for name in found if name.startswith("later-")]
        assert later == [f"later-{number:05}" for number in range(len(later))]  # one moment, nothing between
        assert len(found) == len(PEOPLE) + len(later) and len(later) <= enrolled
        assert enrolled > 0 and client.get("/audit", params={"limit": 1000}).json()["lines"][-1]["actor"] == (
            "command line"
        )


def test_what_a_backup_holds(saved: tuple[Live, Path], tiny_bundle: Path) -> None:
    _, target = saved
    names = {path.name for path in target.iterdir()}
    assert names == {"gallery.db", "manifest.json", "bundle.json", "settings.json"}
    assert (target / "bundle.json").read_bytes() == (tiny_bundle / "manifest.json").read_bytes()
    assert str(tiny_bundle) in (target / "settings.json").read_text()


def test_the_other_bundle_is_named_as_well(
    saved: tuple[Live, Path], tiny_bundle: Path, tmp_path: Path, run: Callable[..., Result]
) -> None:
    live, target = saved
    other, data_dir = make_tiny_bundle(tmp_path / "other", turn=5), live.services.settings.data_dir
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DGRL_NEXT_BUNDLE", str(other))
        assert run("backup", tmp_path / "two", "--data-dir", data_dir).exit_code == 0
        assert (tmp_path / "two" / "next-bundle.json").read_bytes() == (other / "manifest.json").read_bytes()
        assert not run("restore", target, "--data-dir", tmp_path / "a").stderr
    done = CliRunner(env={"DGRL_BUNDLE": str(other)}).invoke(
        app, ["restore", str(target), "--data-dir", str(tmp_path / "b")]
    )
    assert done.exit_code == 0 and "the service will not start with it" in done.stderr


def test_an_open_gallery_is_not_replaced(saved: tuple[Live, Path], run: Callable[..., Result]) -> None:
    live, target = saved
    refused = run("restore", target, "--replace", "--data-dir", live.services.settings.data_dir)
    assert refused.exit_code == 2 and "is already open in process" in refused.stderr
    with live.client() as client:
        assert len(client.get("/gallery").json()["identities"]) == len(PEOPLE)


def test_whom_the_service_deleted_since_stays_deleted(
    saved: tuple[Live, Path], tiny_bundle: Path, tmp_path: Path, run: Callable[..., Result]
) -> None:
    live, target = saved
    copy = tmp_path / "copy"
    with live.client() as client:
        assert client.delete("/gallery/p3").status_code == 204
        enrol(client, "late", 50)
    live.services.gallery.close()
    shutil.copytree(live.services.settings.data_dir, copy)
    assert "exists already" in run("restore", target, "--data-dir", copy).stderr
    done = run("restore", target, "--replace", "--data-dir", copy)
    assert done.exit_code == 0, done.stderr
    assert "7 images" in done.stdout and "1 images that were deleted since are left out" in done.stdout
    with serving(tiny_settings(tiny_bundle, copy)) as other, other.client() as client:
        found = [i["identity"] for i in client.get("/gallery").json()["identities"]]
        assert found == [f"p{number}" for number in PEOPLE if number != 3]
        assert all(match["identity"] != "p3" for matches in rankings(client) for match in matches)


def test_a_damaged_backup_is_named(
    saved: tuple[Live, Path], tmp_path: Path, run: Callable[..., Result]
) -> None:
    _, target = saved
    content = bytearray((target / "gallery.db").read_bytes())
    content[len(content) // 2] ^= 1
    (target / "gallery.db").write_bytes(content)
    refused = run("restore", target, "--data-dir", tmp_path / "elsewhere")
    assert refused.exit_code == 2 and "gallery.db is damaged" in refused.stderr
    assert not (tmp_path / "elsewhere" / "gallery.db").exists()


def test_mistakes_are_one_sentence(tmp_path: Path, run: Callable[..., Result]) -> None:
    (tmp_path / "there").mkdir()
    for arguments, sentence in (
        (("backup", tmp_path / "there"), "exists already"),
        (("backup", tmp_path / "new", "--data-dir", tmp_path / "there"), "there is no gallery"),
        (("restore", tmp_path / "there", "--data-dir", tmp_path / "x"), "is not a complete backup"),
    ):
        refused = run(*arguments)
        assert refused.exit_code == 2 and sentence in refused.stderr, refused.output
