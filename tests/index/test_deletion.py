"""Deleted means gone: no byte of a deleted person stays in any file of the gallery, whatever came in between."""

import os
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from index import Enrolment, Gallery, Image, open_gallery, restore_gallery
from index.scrub import Scrubber, _gap
from index.types import Vectors
from tests.index.conftest import Opener
from tests.index.people import BUNDLE, unit
from tests.index.test_upkeep import eventually

PEOPLE, DIMENSION = 200, 64
MARK = np.array([0.25, -0.125, 0.25, -0.125], np.float16)  # how every vector begins
STORED = re.compile(
    rb"<(?:picture|hash|file|note) \d{5}>|" + re.escape(MARK.tobytes()) + rb".{120}", re.DOTALL
)


def marked(rows: Vectors) -> Vectors:
    rest = rows[:, 4:] / np.linalg.norm(rows[:, 4:], axis=1, keepdims=True)
    return np.hstack([np.tile(MARK.astype(np.float32), (len(rows), 1)), rest * np.sqrt(1 - MARK @ MARK)])


VECTORS = marked(unit(np.random.default_rng(3), PEOPLE, DIMENSION))


def enrolment(person: int) -> Enrolment:
    """Marked in all that is stored of it; pictures of a fraction of a page to many pages."""
    mark = f"<picture {person:05d}>".encode()
    size = random.Random(person).choice([100, 500, 1500, 3000, 9000, 30_000])
    return Enrolment(
        f"p{person}",
        VECTORS[person],
        f"<hash {person:05d}>",
        filename=f"<file {person:05d}>",
        metadata={"note": f"<note {person:05d}>"},
        image=Image(mark * (size // len(mark)), "image/png"),
    )


def fill(gallery: Gallery, people: Sequence[int] = range(PEOPLE)) -> None:
    gallery.add([enrolment(person) for person in people])


def marks(person: int) -> set[bytes]:
    words = {f"<{name} {person:05d}>".encode() for name in ("picture", "hash", "file", "note")}
    return words | {VECTORS[person].astype(np.float16).tobytes()}


def remains(folder: Path, people: Sequence[int]) -> set[bytes]:
    """What the files of the gallery in `folder` hold of these people; their names stay in the audit log."""
    assert not (folder / "gallery.db.reserve").read_bytes().strip(b"\0")
    files = [file for file in folder.glob("gallery.db*") if file.suffix != ".reserve"]
    stored = {mark for file in files for mark in STORED.findall(file.read_bytes())}
    return stored & set[bytes]().union(*map(marks, people))


def test_what_is_looked_for_is_there_before(open_it: Opener, tmp_path: Path) -> None:
    fill(open_it(DIMENSION))
    assert len(remains(tmp_path, range(PEOPLE))) == 5 * PEOPLE


def test_no_copy_of_a_row_that_moved_stays(open_it: Opener, tmp_path: Path) -> None:
    """SQLite shares rows out anew as pages empty, and leaves copies where they were (see `index.scrub`)."""
    gallery = open_it(DIMENSION)
    fill(gallery)
    gone = np.random.default_rng(1).permutation(PEOPLE)[:150].tolist()
    for count, person in enumerate(gone, 1):
        gallery.remove_identity(f"p{person}")
        if count % 50 == 0:
            assert not remains(tmp_path, gone[:count])
            assert middles(tmp_path / "gallery.db") == []
    kept = sorted(set(range(PEOPLE)) - set(gone))
    gallery.close()
    assert not remains(tmp_path, gone)  # with the snapshot that the close wrote
    gallery = open_it(DIMENSION)
    assert not remains(tmp_path, gone)
    for person in kept:
        [record] = gallery.images(f"p{person}").items
        assert gallery.image(f"p{person}", record.image_id) == enrolment(person).image
    assert [found[0].identity for found in gallery.search(VECTORS[kept], 1)] == [f"p{one}" for one in kept]
    writer = gallery._core.database._writer  # type: ignore[attr-defined]
    assert writer.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def middles(path: Path) -> list[int]:
    """The tree pages of a file whose unused middle is not all zeros."""
    scrubber, content = Scrubber(path), path.read_bytes()
    size = scrubber._page_size
    pages = [page for page in range(1, len(content) // size + 1) if scrubber._is_tree(page)]
    assert len(pages) > 20
    scrubber.close()
    return [p for p in pages if _gap(content[(p - 1) * size : p * size], 100 if p == 1 else 0, size)]


def test_a_long_log_is_scrubbed_on_its_way(
    open_it: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any deletion the log is moved when it is long, begins anew, and does not grow for ever."""
    monkeypatch.setattr("index.scrub.LONG", 100)
    gallery, log = open_it(DIMENSION), tmp_path / "gallery.db-wal"
    for start in range(0, PEOPLE, 5):
        fill(gallery, range(start, start + 5))
    assert log.stat().st_size < 3 * 100 * 8192
    database = gallery._core.database  # type: ignore[attr-defined]
    frames = database._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()[1]
    database._scrubber.scrub_moved()
    assert database._scrubber._scrubbed == frames  # SQLite counts as we do
    assert (tmp_path / "gallery.db").stat().st_size > 10 * 8192
    assert middles(tmp_path / "gallery.db") == []


def test_pictures_that_look_like_pages(open_it: Opener) -> None:
    """Only what SQLite's own map calls a tree page is touched."""
    gallery = open_it(DIMENSION)
    page = bytes([13, 0, 0, 0, 1, 31, 0, 0]) + os.urandom(8184)  # one cell, at the end, and no zeros between
    pictures = [Image(os.urandom(shift) + 100 * page, "image/png") for shift in range(0, 8192, 997)]
    for row, picture in enumerate(pictures):
        gallery.add([Enrolment(f"p{row}", VECTORS[row], "x", image=picture)])
    gallery.add([Enrolment("gone", VECTORS[20], "x")])
    gallery.remove_identity("gone")
    gallery.close()
    gallery = open_it(DIMENSION)
    for row, picture in enumerate(pictures):
        assert gallery.image(f"p{row}", str(row + 1)) == picture


@pytest.mark.parametrize("moved", [False, True])
def test_killed_after_deletions(open_it: Opener, tmp_path: Path, moved: bool) -> None:
    """Before the log is moved into the file, and between that and the overwriting of what is left behind."""
    gallery = open_it(DIMENSION)
    fill(gallery)
    gallery.close()
    code = (
        "import os; from index import open_gallery\n"
        f"g = open_gallery('sqlite:///{tmp_path / 'gallery.db'}', bundle_id='{BUNDLE}', dimension={DIMENSION})\n"
        "database = g._core.database; database.checkpoint = lambda: None\n"
        f"for person in range(150): g.remove_identity(f'p{{person * 7 % {PEOPLE}}}')\n"
        f"{moved} and database._move_log('FULL')\n"
        "os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    gone = [person * 7 % PEOPLE for person in range(150)]
    assert middles(tmp_path / "gallery.db") if moved else remains(tmp_path, gone)
    gallery = open_it(DIMENSION)
    assert not remains(tmp_path, gone)
    assert middles(tmp_path / "gallery.db") == []
    assert gallery.count().images == PEOPLE - 150


def test_a_deletion_beside_a_long_reader(
    open_it: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup is in the way of emptying the log; when it is done, that is made up for, without another change."""
    monkeypatch.setattr("index.maintenance.PERIOD_SECONDS", 0.01)
    gallery = open_it(DIMENSION)
    fill(gallery, range(20))
    with gallery._core.database.reading() as tx:  # type: ignore[attr-defined]
        tx.execute("SELECT count(*) FROM images").fetchone()
        gallery.remove_identity("p5")
        assert remains(tmp_path, [5])
    eventually(lambda: not remains(tmp_path, [5]))


def test_restored_without_those_deleted_since(open_it: Opener, tmp_path: Path) -> None:
    gallery = open_it(DIMENSION)
    fill(gallery)
    gallery.backup(tmp_path / "backup")
    gone = list(range(0, PEOPLE, 3))
    for person in gone:
        gallery.remove_identity(f"p{person}")
    gallery.close()
    restore_gallery(tmp_path / "backup", f"sqlite:///{tmp_path / 'gallery.db'}", replace=True)
    assert not remains(tmp_path, gone)
    assert middles(tmp_path / "gallery.db") == []
    elsewhere = tmp_path / "elsewhere"
    restore_gallery(
        tmp_path / "backup", f"sqlite:///{elsewhere / 'gallery.db'}", later=tmp_path / "gallery.db"
    )
    for folder in (tmp_path, elsewhere):
        gallery = open_gallery(f"sqlite:///{folder / 'gallery.db'}", bundle_id=BUNDLE, dimension=DIMENSION)
        assert not remains(folder, gone)
        assert gallery.count().images == PEOPLE - len(gone)
        assert all(match[0].score < 0.999 for match in gallery.search(VECTORS[gone], 1))
        gallery.close()


def test_what_a_killed_restore_left_is_removed(open_it: Opener, tmp_path: Path) -> None:
    left = [tmp_path / f"gallery.db.restoring{suffix}" for suffix in ("", "-journal")]
    for file in left:
        file.write_bytes(b"a copy of everything")
    open_it()
    assert not any(file.exists() for file in left)
