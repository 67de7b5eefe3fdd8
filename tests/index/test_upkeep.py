"""Audit log, retention, and giving back the room of what was deleted."""

import os
import sqlite3
import threading
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from index import Enrolment, Image
from index.maintenance import Maintenance
from tests.index.conftest import Opener
from tests.index.people import one_hot, unit
from tests.index.test_audit import lines


@pytest.fixture
def quick_upkeep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.maintenance.PERIOD_SECONDS", 0.01)


def eventually(condition: object, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def test_the_audit_log_cannot_be_changed(open_it: Opener, tmp_path: Path) -> None:
    gallery = open_it()
    gallery.add([Enrolment("a", one_hot(16), "x")])
    connection = sqlite3.connect(tmp_path / "gallery.db")
    for statement in ("DELETE FROM audit", "UPDATE audit SET actor = 'nobody'"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()


def test_searches_are_logged_while_running(open_it: Opener, quick_upkeep: None) -> None:
    gallery = open_it()
    gallery.search(one_hot(16)[None], 1, actor="me")
    eventually(lambda: ("me", "search", {"searches": 1, "probes": 1}) in lines(gallery))
    gallery.check()


def age(path: Path, images: str, days: int) -> None:
    """As if these images had been enrolled so many days earlier."""
    connection = sqlite3.connect(path)
    connection.execute(
        f"UPDATE images SET enrolled_at = enrolled_at - {days * 86_400_000_000} WHERE id IN ({images})"
    )
    connection.commit()
    connection.close()


def test_retention(open_it: Opener, tmp_path: Path, quick_upkeep: None) -> None:
    gallery = open_it()
    vectors = unit(np.random.default_rng(0), 6, 16)
    gallery.add([Enrolment(name, vectors[row], str(row)) for row, name in enumerate("aabb")])
    gallery.close()
    age(tmp_path / "gallery.db", "1, 2, 3, 4", 2)
    gallery = open_it(retention=timedelta(days=3))
    assert gallery.count().images == 4
    gallery.close()
    gallery = open_it(retention=timedelta(days=1))  # what is due goes before the first search
    assert gallery.count().images == 0
    gallery.close()
    gallery = open_it(retention=timedelta(seconds=1))
    gallery.add([Enrolment("b", vectors[4], "4")])
    eventually(lambda: gallery.search(vectors[4:5], 1) == [[]])
    gallery.check()
    gone = [detail["images"] for _, action, detail in lines(gallery) if action == "expire"]
    assert gone == [["1", "2"], ["3", "4"], ["5"]]


def test_retention_takes_the_old_images_of_a_person_only(open_it: Opener, tmp_path: Path) -> None:
    gallery = open_it()
    gallery.add([Enrolment("a", one_hot(16), "old"), Enrolment("a", one_hot(16), "new")])
    gallery.close()
    age(tmp_path / "gallery.db", "1", 2)
    gallery = open_it(retention=timedelta(days=1))
    assert [record.content_hash for record in gallery.images("a").items] == ["new"]


def test_room_is_given_back(open_it: Opener, tmp_path: Path, quick_upkeep: None) -> None:
    gallery = open_it()
    for row in range(30):
        gallery.add([Enrolment(f"p{row}", one_hot(16), "x", image=Image(os.urandom(2**20), "image/png"))])
    size = (tmp_path / "gallery.db").stat().st_size
    for row in range(29):
        gallery.remove_identity(f"p{row}")
    eventually(lambda: (tmp_path / "gallery.db").stat().st_size < size * 0.7)
    gallery.check()
    assert gallery.search(one_hot(16)[None], 5)[0][0].identity == "p29"


def test_upkeep_ends_with_the_gallery(open_it: Opener) -> None:
    open_it().close()
    assert not [thread for thread in threading.enumerate() if thread.name == "gallery maintenance"]


def test_upkeep_goes_on_after_an_error(
    open_it: Opener, quick_upkeep: None, caplog: pytest.LogCaptureFixture
) -> None:
    gallery = open_it()
    writer = gallery._core.database._writer  # type: ignore[attr-defined]
    writer.execute("PRAGMA query_only = 1")  # as if the disk had become read-only
    gallery.search(one_hot(16)[None], 1, actor="me")
    eventually(lambda: "is not writable" in caplog.text)
    writer.execute("PRAGMA query_only = 0")
    eventually(lambda: ("me", "search", {"searches": 1, "probes": 1}) in lines(gallery))


def test_a_mistake_in_one_task_does_not_end_the_others(
    caplog: pytest.LogCaptureFixture, quick_upkeep: None
) -> None:
    done: list[int] = []
    upkeep = Maintenance([lambda: 1 // 0, lambda: done.append(1)])
    eventually(lambda: len(done) > 1)
    upkeep.stop()
    assert "division" in caplog.text
