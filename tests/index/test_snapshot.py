"""A snapshot is used only if it is whole and of the very state that the store is in; else it is named and rebuilt."""

import errno
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from index import Enrolment, Gallery, Match
from index.types import Vectors
from tests.index.conftest import Opener
from tests.index.people import unit

VECTORS = unit(np.random.default_rng(0), 60, 16)
PROBES = VECTORS[:7]


def fill(gallery: Gallery, start: int, stop: int, vectors: Vectors = VECTORS) -> None:
    gallery.add([Enrolment(f"p{row}", vectors[row], "x", camera=f"c{row % 3}") for row in range(start, stop)])


def rankings(gallery: Gallery) -> list[list[Match]]:
    return gallery.search(PROBES, 10)


@pytest.fixture
def closed(open_it: Opener, small_segments: None, caplog: pytest.LogCaptureFixture) -> list[list[Match]]:
    """A gallery of 44 images that was closed, so that it has a snapshot; its rankings."""
    caplog.set_level("DEBUG", "index")
    gallery = open_it()
    fill(gallery, 0, 50)
    for person in ("p3", "p4", "p17", "p18", "p19", "p40"):
        gallery.remove_identity(person)
    expected = rankings(gallery)
    gallery.close()
    caplog.clear()
    return expected


def test_opens_from_the_snapshot(
    open_it: Opener, tmp_path: Path, closed: list[list[Match]], caplog: pytest.LogCaptureFixture
) -> None:
    gallery = open_it()
    assert "44 images from the snapshot" in caplog.text
    assert rankings(gallery) == closed
    fill(gallery, 50, 60)
    assert rankings(gallery)[0][0] == closed[0][0]
    assert gallery.search(VECTORS[55:56], 1)[0][0].identity == "p55"
    gallery.remove_identity("p55")
    gallery.check()
    gallery.close()
    assert open_it().search(VECTORS[55:56], 1)[0][0].identity != "p55"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: b"", "it is cut short"),
        (lambda content: content[: len(content) // 2], "it is cut short, or no snapshot"),
        (lambda content: content[:-1], "it is cut short, or no snapshot"),
        (lambda content: content[100:], "rows .* damaged|cut short"),
        (lambda content: flipped(content, 5), "its rows from byte 0 on are damaged"),
        (lambda content: flipped(content, len(content) // 2), "damaged"),
        (lambda content: flipped(content, len(content) - 60), "its footer is damaged"),
        (lambda content: content.replace(b'"format": 1', b'"format": 2'), "its footer is damaged"),
    ],
)
def test_damaged_snapshot_is_rebuilt(
    open_it: Opener,
    tmp_path: Path,
    closed: list[list[Match]],
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[bytes], bytes],
    reason: str,
) -> None:
    path = tmp_path / "gallery.db.snapshot"
    path.write_bytes(damage(path.read_bytes()))
    gallery = open_it()
    assert rankings(gallery) == closed
    [warning] = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert str(path) in warning
    assert re.search(reason, warning)
    assert "44 images from the store" in caplog.text
    assert not path.exists()
    gallery.close()
    assert path.exists()  # and a new one is written


def flipped(content: bytes, position: int) -> bytes:
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


def test_stale_snapshot(
    open_it: Opener, tmp_path: Path, closed: list[list[Match]], caplog: pytest.LogCaptureFixture
) -> None:
    """As after a kill between a deletion's commit and the removal of the snapshot."""
    path, copy = tmp_path / "gallery.db.snapshot", tmp_path / "copy"
    shutil.copy(path, copy)
    gallery = open_it()
    best = closed[0][0].identity
    gallery.remove_identity(best)
    gallery.close()
    shutil.copy(copy, path)
    caplog.clear()
    gallery = open_it()
    assert "it is of generation" in caplog.text
    assert best not in [match.identity for match in rankings(gallery)[0]]


def test_foreign_snapshot(
    open_it: Opener, tmp_path: Path, closed: list[list[Match]], caplog: pytest.LogCaptureFixture
) -> None:
    ours = tmp_path / "ours"
    shutil.copy(tmp_path / "gallery.db.snapshot", ours)
    (tmp_path / "gallery.db").unlink()
    gallery = open_it()
    fill(gallery, 0, 50)
    gallery.close()
    shutil.copy(ours, tmp_path / "gallery.db.snapshot")
    caplog.clear()
    gallery = open_it()
    assert "it is of another gallery" in caplog.text
    assert gallery.search(VECTORS[3:4], 1)[0][0].identity == "p3"


def test_snapshot_of_another_history_of_the_same_gallery(
    open_it: Opener, tmp_path: Path, closed: list[list[Match]], caplog: pytest.LogCaptureFixture
) -> None:
    """The store was set back by hand and went on differently, to the same generation."""
    shutil.copy(tmp_path / "gallery.db", tmp_path / "earlier.db")
    gallery = open_it()
    fill(gallery, 50, 60)
    gallery.close()
    shutil.copy(tmp_path / "gallery.db.snapshot", tmp_path / "other")
    shutil.copy(tmp_path / "earlier.db", tmp_path / "gallery.db")
    gallery = open_it()
    fill(gallery, 50, 60, np.roll(VECTORS, 1, axis=0))
    gallery.close()
    shutil.copy(tmp_path / "other", tmp_path / "gallery.db.snapshot")
    caplog.clear()
    gallery = open_it()
    assert "the store knows nothing of it" in caplog.text
    assert gallery.search(VECTORS[55:56], 1)[0][0].identity == "p56"


def test_no_snapshot_outlives_a_change(open_it: Opener, tmp_path: Path, closed: list[list[Match]]) -> None:
    path = tmp_path / "gallery.db.snapshot"
    gone = VECTORS[7].astype(np.float16).tobytes()
    assert gone in path.read_bytes()
    gallery = open_it()
    gallery.remove_image("p7", "no such image")
    assert path.exists()
    gallery.remove_identity("p7")
    assert not path.exists()
    assert not any(gone in file.read_bytes() for file in tmp_path.iterdir())


def test_a_snapshot_that_cannot_be_written_is_done_without(
    open_it: Opener,
    tmp_path: Path,
    closed: list[list[Match]],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gallery = open_it()
    fill(gallery, 50, 60)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("index.snapshot.os.fsync", full)
        gallery.close()
    assert "no snapshot" in caplog.text
    assert "No space left" in caplog.text
    assert not list(tmp_path.glob("*.snapshot*"))
    assert open_it().count().images == 54


def test_what_a_killed_writer_left_is_removed(
    open_it: Opener, tmp_path: Path, closed: list[list[Match]]
) -> None:
    left = tmp_path / "gallery.db.snapshot.partial"
    left.write_bytes(VECTORS.tobytes())
    open_it()
    assert not left.exists()
