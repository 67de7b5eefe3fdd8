"""Files that are damaged, foreign, newer, in use or out of room: the error says which, and what is wrong."""

import os
import resource
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from index import Enrolment, GalleryError, GalleryUnavailable, Image, StorageFull, open_gallery
from index.room import available_memory
from tests.index.conftest import Opener
from tests.index.people import BUNDLE, one_hot, unit
from tests.support.disk import small_disk


def filled(open_it: Opener, tmp_path: Path, images: int = 200) -> Path:
    gallery = open_it()
    vectors = unit(np.random.default_rng(0), images, 16)
    gallery.add([Enrolment(f"p{row}", vector, "x") for row, vector in enumerate(vectors)])
    gallery.close()
    return tmp_path / "gallery.db"


def test_truncated_file(open_it: Opener, tmp_path: Path) -> None:
    path = filled(open_it, tmp_path)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(GalleryUnavailable, match=r"gallery\.db is damaged"):
        open_it()


def test_garbage_in_the_middle(open_it: Opener, tmp_path: Path) -> None:
    path = filled(open_it, tmp_path, 3000)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 4)
        file.write(os.urandom(size // 2))
    with pytest.raises(GalleryUnavailable, match=r"gallery\.db is damaged"):
        open_it()


def test_not_a_gallery(open_it: Opener, tmp_path: Path) -> None:
    path = tmp_path / "gallery.db"
    path.write_bytes(b"this is no database" * 1000)
    with pytest.raises(GalleryUnavailable, match=r"gallery\.db is damaged or not a gallery"):
        open_it()
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE songs (title)")
    other.close()
    with pytest.raises(GalleryUnavailable, match=r"gallery\.db is an SQLite file, but not a gallery"):
        open_it()


def test_newer_schema_is_refused(open_it: Opener, tmp_path: Path) -> None:
    path = filled(open_it, tmp_path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(GalleryUnavailable, match=r"gallery\.db has gallery schema 99, newer than"):
        open_it()
    assert path.read_bytes() == before


def test_a_folder_and_an_unwritable_place(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for name in ("folder", "file/gallery.db"):
        with pytest.raises(GalleryUnavailable, match=name):
            open_gallery(f"sqlite:///{tmp_path / name}", bundle_id=BUNDLE, dimension=16)


@pytest.mark.parametrize("uri", ["", "gallery.db", "sqlite:///", "postgres:///x", "sqlite://x"])
def test_uris_that_name_no_gallery(uri: str) -> None:
    with pytest.raises(GalleryError, match="gallery"):
        open_gallery(uri, bundle_id=BUNDLE, dimension=16)


def test_one_process_at_a_time(open_it: Opener, tmp_path: Path) -> None:
    gallery = open_it()
    with pytest.raises(GalleryUnavailable, match=f"already open in process {os.getpid()}"):
        open_it()
    code = (
        "from index import open_gallery; import sys\n"
        f"open_gallery('sqlite:///{tmp_path / 'gallery.db'}', bundle_id='{BUNDLE}', dimension=16)"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert other.returncode == 1
    assert f"already open in process {os.getpid()}" in other.stderr
    gallery.close()
    open_it()


def test_a_closed_gallery_says_so(open_it: Opener) -> None:
    gallery = open_it()
    gallery.close()
    gallery.close()
    for call in (
        gallery.count,
        gallery.check,
        lambda: gallery.search(one_hot(16)[None], 1),
        lambda: gallery.add([Enrolment("a", one_hot(16), "x")]),
    ):
        with pytest.raises(GalleryUnavailable, match="closed"):
            call()


def test_the_file_is_taken_away(open_it: Opener, tmp_path: Path) -> None:
    gallery = open_it()
    gallery.check()
    (tmp_path / "gallery.db").rename(tmp_path / "elsewhere.db")
    with pytest.raises(GalleryUnavailable, match="removed or replaced"):
        gallery.check()


def test_the_file_is_private(open_it: Opener, tmp_path: Path) -> None:
    gallery = open_it()
    gallery.add([Enrolment("a", one_hot(16), "x")])
    for file in tmp_path.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file


def test_deleted_bytes_are_gone_from_the_files(open_it: Opener, tmp_path: Path) -> None:
    gallery = open_it(512)
    keep, gone = unit(np.random.default_rng(0), 2, 512)
    picture = b"PICTURE OF SOMEONE WHO LEFT" * 3000  # many pages
    secrets = [
        picture[:27],
        b"secret name",
        b"secret metadata",
        b"secret.jpg",
        gone.astype(np.float16).tobytes()[:200],
    ]

    def on_disk() -> list[bytes]:
        content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
        return [secret for secret in secrets if secret in content]

    image = Image(picture, "image/png")
    gallery.add([Enrolment("stays", keep, "k", image=Image(b"other", "image/png"))])
    gallery.add(
        [
            Enrolment(
                "secret name",
                gone,
                "g",
                metadata={"n": "secret metadata"},
                filename="secret.jpg",
                image=image,
            )
        ]
    )
    assert on_disk() == secrets
    gallery.remove_identity("secret name")
    assert on_disk() == [b"secret name"]  # in the audit log, which is kept


def test_full_database_leaves_the_gallery_as_it_was(open_it: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = open_it()
    vectors = unit(np.random.default_rng(0), 400, 16)
    gallery.add([Enrolment("a", vectors[0], "x")])
    writer = gallery._core.database._writer  # type: ignore[attr-defined]
    pages = writer.execute("PRAGMA page_count").fetchone()[0]
    writer.execute(f"PRAGMA max_page_count = {pages + 3}")
    with pytest.raises(StorageFull, match=r"no room left for .*gallery\.db"):
        gallery.add([Enrolment(f"p{row}", vector, "x") for row, vector in enumerate(vectors)])
    assert gallery.count().images == 1
    gallery.check()
    assert [match.identity for match in gallery.search(vectors[5:6], 9)[0]] == ["a"]
    writer.execute("PRAGMA max_page_count = 1000000")
    gallery.add([Enrolment(f"p{row}", vector, "x") for row, vector in enumerate(vectors)])
    assert gallery.search(vectors[5:6], 1)[0][0].identity == "p5"


def test_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("index.reserve.RESERVE_BYTES", 2**19)
    with small_disk(3) as folder:
        fill_up(f"sqlite:///{folder / 'gallery.db'}")


def fill_up(uri: str) -> None:
    gallery = open_gallery(uri, bundle_id=BUNDLE, dimension=16)
    vectors = unit(np.random.default_rng(0), 5000, 16)
    stored = 0
    with pytest.raises(StorageFull, match=r"no room left for .*gallery\.db"):
        for row, vector in enumerate(vectors):
            image = Image(os.urandom(3000), "image/png")
            gallery.add([Enrolment(f"p{row}", vector, "x", image=image)])
            stored += 1
    assert 10 < stored < 1000
    for _ in range(2):
        gallery.check()
        assert gallery.count().images == stored
        assert gallery.search(vectors[:1], 1)[0][0].identity == "p0"
        assert gallery.search(vectors[stored : stored + 1], 1)[0][0].identity != f"p{stored}"
        gallery.close()
        gallery = open_gallery(uri, bundle_id=BUNDLE, dimension=16)
    assert gallery.remove_identity("p0") == 1  # a full disk does not stop a deletion
    for row in range(1, 60):
        gallery.remove_identity(f"p{row}")
    gallery.add([Enrolment("late", vectors[0], "x")])
    assert gallery.search(vectors[:1], 1)[0][0].identity == "late"
    gallery.close()


def test_input_output_errors(open_it: Opener) -> None:
    """A file may not grow: the system refuses the write, as a broken disk does."""
    gallery = open_it()
    vectors = unit(np.random.default_rng(0), 3000, 16)
    gallery.add([Enrolment("a", vectors[0], "x")])
    size = gallery._core.database.path.with_name("gallery.db-wal").stat().st_size  # type: ignore[attr-defined]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    items = [Enrolment(f"p{row}", vector, "x", filename="n" * 200) for row, vector in enumerate(vectors)]
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20_000, hard))
        with pytest.raises(GalleryUnavailable, match=r"gallery\.db has input/output errors: disk I/O error"):
            gallery.add(items)
        assert gallery.search(vectors[5:6], 5)[0][0].identity == "a"
        assert gallery.count().images == 1
        gallery.check()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    gallery.add(items)
    gallery.check()
    assert gallery.search(vectors[5:6], 1)[0][0].identity == "p5"
    gallery.close()
    assert open_it().count().images == 3001


def test_commits_are_on_the_disk_when_they_return(open_it: Opener) -> None:
    writer = open_it()._core.database._writer  # type: ignore[attr-defined]
    pragmas = {
        name: writer.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
    }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2}  # FULL: the log is fsynced at each commit
    assert writer.execute("PRAGMA secure_delete").fetchone()[0] == 1


def test_a_gallery_that_does_not_fit_into_memory(open_it: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = open_it()
    vectors = unit(np.random.default_rng(0), 100, 16)
    gallery.add([Enrolment(f"p{row}", vector, "x") for row, vector in enumerate(vectors)])
    gallery.close()
    monkeypatch.setattr("index.room.available_memory", lambda: 2**20)
    with pytest.raises(
        GalleryUnavailable, match="holds 100 images, which need 0 MB of memory, and 1 MB are free"
    ):
        open_it()


def test_available_memory_is_that_of_the_machine_at_most() -> None:
    assert 2**20 < available_memory() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
