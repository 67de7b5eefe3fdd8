"""kill -9 in the middle of concurrent changes: what was acknowledged holds, and what was deleted stays away."""

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from index import Enrolment, Gallery
from index.backup import prove, read_manifest
from tests.crash.gallery_worker import THREADS, State, after, opened, picture, vector
from tests.support.zygote import Zygote, zygote

Said = list[tuple[int, str, list[str]]]


@pytest.fixture(scope="module")
def workers() -> Iterator[Zygote]:
    with zygote("tests.crash.gallery_worker:work") as process:
        yield process


def run_and_kill(workers: Zygote, path: Path, seed: int, seconds: float, **options: object) -> Said:
    """What a worker said before it was killed `seconds` after its first change."""
    said = path.with_name("said")
    said.write_bytes(b"")
    worker = workers.fork(path=str(path), said=str(said), seed=seed, **options)
    while not said.stat().st_size:
        assert worker.poll() is None, "the worker ended by itself"
        time.sleep(0.001)
    time.sleep(seconds)
    assert worker.poll() is None, "the worker ended by itself"
    worker.kill()
    return [tuple(json.loads(line)) for line in said.read_text().split("\n")[:-1]]


def held(gallery: Gallery, thread: int) -> State:
    people = gallery.identities(prefix=f"t{thread} ", limit=1000).items
    return {
        person.identity: [image.content_hash for image in gallery.images(person.identity, limit=10_000).items]
        for person in people
    }


def same(one: State, other: State) -> bool:
    return {name: sorted(own) for name, own in one.items()} == {
        name: sorted(own) for name, own in other.items()
    }


def verify(gallery: Gallery, states: list[State], said: Said) -> list[State]:
    """The states that the threads' people are in now, each of which the acknowledgements allow."""
    gallery.check()
    found = []
    for thread, state in enumerate(states):
        begun: list[str] | None = None
        for _, word, change in (line for line in said if line[0] == thread):
            begun = change if word == "begin" else None
            state = state if word == "begin" else after(state, change)
        now = held(gallery, thread)
        allowed = [state] if begun is None else [state, after(state, begun)]
        assert any(same(now, one) for one in allowed), (now, allowed, begun)
        found.append(now)
        for name, hashes in now.items():
            matches = gallery.search(np.array([vector(content) for content in hashes]), 1, supports=1)
            assert all(match[0].identity == name and match[0].score > 0.999 for match in matches)
            for image in gallery.images(name, limit=10_000).items:
                assert gallery.image(name, image.image_id) in (picture(image.content_hash), None)
    return found


@pytest.mark.parametrize("kind", ["changes", "upkeep", "close"])
@pytest.mark.parametrize("rounds", [4, pytest.param(200, marks=pytest.mark.long)])
def test_kill(workers: Zygote, tmp_path: Path, rounds: int, kind: str) -> None:
    """During changes alone; with vacuum, the erasing of deleted bytes and backups beside them; during the close."""
    path, moments = tmp_path / "gallery.db", random.Random(0)
    states: list[State] = [{} for _ in range(THREADS)]
    acknowledged = backups = snapshots = 0
    for seed in range(rounds):
        if kind == "close":
            said = run_and_kill(workers, path, seed, moments.uniform(0.02, 0.07), close_after=0.03)
            snapshots += path.with_name("gallery.db.snapshot").exists()
        else:
            said = run_and_kill(workers, path, seed, moments.uniform(0.0, 0.4), upkeep=kind == "upkeep")
        acknowledged += sum(word == "done" for _, word, _ in said)
        backups += complete_backups(tmp_path, seed)
        gallery = opened(path)
        states = verify(gallery, states, said)
        gallery.close()
    print(
        f"{rounds} kills ({kind}): {acknowledged} changes, {backups} backups, {snapshots} snapshots; no losses"
    )
    assert acknowledged >= rounds // 4
    assert rounds < 100 or bool(backups) == (kind == "upkeep")
    assert rounds < 100 or bool(snapshots) == (kind == "close")


def complete_backups(folder: Path, seed: int) -> int:
    """How many a worker finished; each of them is whole, and the unfinished one is not taken for one."""
    found = [one for one in folder.glob(f"backup {seed} *") if one.suffix != ".partial"]
    for backup in found:
        prove(backup / "gallery.db", read_manifest(backup))
    return len(found)


def test_the_verification_notices(tmp_path: Path) -> None:
    """A lost image, one that came back, and one with another's vector are all found out."""
    gallery = opened(tmp_path / "g.db")
    gallery.add([Enrolment("t0 p0", vector("a"), "a")])
    empty: list[State] = [{} for _ in range(THREADS)]
    done = [(0, "begin", ["add", "t0 p0", "a"]), (0, "done", ["add", "t0 p0", "a"])]
    verify(gallery, empty, done)
    lost = [*done, (0, "begin", ["add", "t0 p1", "b"]), (0, "done", ["add", "t0 p1", "b"])]
    returned = [*done, (0, "begin", ["remove", "t0 p0"]), (0, "done", ["remove", "t0 p0"])]
    for said in (lost, returned):
        with pytest.raises(AssertionError):
            verify(gallery, empty, said)
    gallery.add([Enrolment("t0 p1", vector("a"), "b")])
    with pytest.raises(AssertionError):
        verify(gallery, empty, lost)
    gallery.close()
