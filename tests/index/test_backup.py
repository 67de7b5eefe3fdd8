"""Backups taken while the gallery serves, and restores that are proved before they take its place."""

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from index import (
    Enrolment,
    Gallery,
    GalleryError,
    GalleryUnavailable,
    Image,
    Match,
    backup_gallery,
    migrate,
    open_gallery,
    restore_gallery,
)
from tests.index.conftest import Opener
from tests.index.people import BUNDLE, unit

VECTORS = unit(np.random.default_rng(0), 80, 16)


def fill(gallery: Gallery, start: int, stop: int) -> None:
    image = Image(b"picture", "image/png")
    gallery.add(
        [
            Enrolment(
                f"p{row // 2}", VECTORS[row], str(row), f"c{row % 3}", metadata={"row": row}, image=image
            )
            for row in range(start, stop)
        ]
    )


def everything(gallery: Gallery) -> tuple[object, ...]:
    people = gallery.identities(limit=1000).items
    return people, [gallery.images(person.identity, limit=1000).items for person in people], rankings(gallery)


def rankings(gallery: Gallery) -> list[list[Match]]:
    return gallery.search(VECTORS[:20], 10)


@pytest.fixture
def elsewhere(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'other machine' / 'restored.db'}"


def opened(uri: str) -> Gallery:
    return open_gallery(uri, bundle_id=BUNDLE, dimension=16)


def test_backup_and_restore(open_it: Opener, tmp_path: Path, elsewhere: str) -> None:
    gallery = open_it()
    fill(gallery, 0, 60)
    gallery.remove_identity("p3")
    before = everything(gallery)
    (tmp_path / "config.toml").write_text("x = 1")
    counts = gallery.backup(tmp_path / "backup", {"config.toml": tmp_path / "config.toml"})
    assert counts == gallery.count()
    fill(gallery, 60, 80)  # later than the backup
    restored = restore_gallery(tmp_path / "backup", elsewhere)
    assert (restored.manifest.images, restored.deleted_since) == (58, 0)
    copy = opened(elsewhere)
    assert everything(copy) == before
    assert copy.image("p0", "1") == Image(b"picture", "image/png")
    copy.check()
    assert [line.action for line in copy.audit(limit=1000).items][-2:] == ["delete", "restore"]
    copy.close()
    manifest = json.loads((tmp_path / "backup" / "manifest.json").read_text())
    assert set(manifest["files"]) == {"gallery.db", "config.toml"}
    assert all(file.stat().st_mode & 0o077 == 0 for file in (tmp_path / "backup").glob("gallery.db*"))


def test_backup_of_an_empty_gallery(open_it: Opener, tmp_path: Path, elsewhere: str) -> None:
    open_it().backup(tmp_path / "backup")
    restore_gallery(tmp_path / "backup", elsewhere)
    copy = opened(elsewhere)
    assert copy.count().images == 0
    copy.close()


def test_backup_during_writes_is_one_state(open_it: Opener, tmp_path: Path, elsewhere: str) -> None:
    gallery = open_it()
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            fill(gallery, 0, 80)  # all, or none
            for person in range(40):
                gallery.remove_identity(f"p{person}")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(4):
            counts = gallery.backup(tmp_path / f"backup {number}")
            assert counts.images % 2 == 0
            assert counts.images == 2 * counts.identities
    finally:
        stop.set()
        writer.join()
    restore_gallery(tmp_path / "backup 3", elsewhere)
    copy = opened(elsewhere)
    copy.check()
    copy.close()


def test_another_process_backs_up_what_this_one_serves(open_it: Opener, tmp_path: Path) -> None:
    gallery = open_it()
    fill(gallery, 0, 10)
    code = (
        "import sys; from pathlib import Path; from index import backup_gallery\n"
        f"print(backup_gallery('sqlite:///{tmp_path / 'gallery.db'}', Path(sys.argv[1])).images)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "b")], capture_output=True, text=True, check=True
    )
    assert done.stdout == "10\n"
    fill(gallery, 10, 20)


def test_nobody_who_was_deleted_comes_back(open_it: Opener, tmp_path: Path, elsewhere: str) -> None:
    gallery = open_it()
    fill(gallery, 0, 60)
    gallery.backup(tmp_path / "backup")
    gallery.remove_identity("p5")
    gallery.remove_image("p6", "13")
    gallery.rename("p7", "p8")
    gallery.remove_identity("p8")
    fill(gallery, 60, 80)
    gallery.remove_identity("p39")
    gallery.backup(tmp_path / "later")
    gallery.close()
    uri = f"sqlite:///{tmp_path / 'gallery.db'}"
    with pytest.raises(GalleryError, match="exists already"):
        restore_gallery(tmp_path / "backup", uri)
    for target, later in (
        (elsewhere, tmp_path / "gallery.db"),
        (uri, None),
        (elsewhere + "2", tmp_path / "later"),
    ):
        restored = restore_gallery(tmp_path / "backup", target, replace=later is None, later=later)
        assert restored.deleted_since == 2 + 1 + 4
        copy = opened(target)
        people = {item.identity: item.images for item in copy.identities(limit=100).items}
        assert people == {f"p{number}": 2 for number in range(30) if number not in (5, 7, 8)} | {"p6": 1}
        deleted = [
            line.detail["identity"] for line in copy.audit(limit=1000).items if line.action == "delete"
        ]
        assert deleted == ["p5", "p6", "p8", "p39"]
        for row in (10, 11, 12, 14, 17, 70):
            found = copy.search(VECTORS[row : row + 1], 1)[0][0]
            assert found.score < 0.999 or found.identity == f"p{row // 2}"
            assert found.identity not in ("p5", "p7", "p8", "p35")
        [added] = copy.add([Enrolment("new", VECTORS[79], "new")])
        assert int(added.image_id) > 80  # ids that the replaced gallery gave out are not given out again
        copy.check()
        copy.close()


def test_restore_over_a_gallery_that_crashed(open_it: Opener, tmp_path: Path) -> None:
    """Its last deletion is still in the write-ahead log: not to be lost, nor mixed into the restored file."""
    gallery = open_it()
    fill(gallery, 0, 60)
    gallery.backup(tmp_path / "backup")
    code = (
        "import os; from index import open_gallery\n"
        f"g = open_gallery('sqlite:///{tmp_path / 'gallery.db'}', bundle_id='{BUNDLE}', dimension=16)\n"
        "g._core.database.checkpoint = lambda: None\n"
        "g.remove_identity('p5'); os._exit(9)"
    )
    gallery.close()
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert (tmp_path / "gallery.db-wal").stat().st_size > 0
    assert (
        restore_gallery(
            tmp_path / "backup", f"sqlite:///{tmp_path / 'gallery.db'}", replace=True
        ).deleted_since
        == 2
    )
    gallery = open_it()
    assert gallery.count().images == 58
    gallery.check()


def test_ids_are_not_given_out_again_after_the_restore_of_an_empty_backup(
    open_it: Opener, tmp_path: Path
) -> None:
    gallery = open_it()
    gallery.backup(tmp_path / "backup")
    fill(gallery, 0, 4)
    gallery.remove_image("p0", "1")
    gallery.close()
    restore_gallery(tmp_path / "backup", f"sqlite:///{tmp_path / 'gallery.db'}", replace=True)
    [added] = open_it().add([Enrolment("new", VECTORS[0], "new")])
    assert added.image_id == "5"  # 1 is known to be deleted: a later restore would delete this image


def test_restore_refuses_a_gallery_in_use(open_it: Opener, tmp_path: Path) -> None:
    gallery = open_it()
    fill(gallery, 0, 10)
    gallery.backup(tmp_path / "backup")
    with pytest.raises(GalleryUnavailable, match="already open in process"):
        restore_gallery(tmp_path / "backup", f"sqlite:///{tmp_path / 'gallery.db'}", replace=True)
    gallery.check()


def test_restore_over_a_damaged_or_foreign_gallery(open_it: Opener, tmp_path: Path, elsewhere: str) -> None:
    gallery = open_it()
    fill(gallery, 0, 10)
    gallery.backup(tmp_path / "backup")
    gallery.close()
    path = tmp_path / "gallery.db"
    path.write_bytes(os.urandom(100_000))
    uri = f"sqlite:///{path}"
    with pytest.raises(GalleryUnavailable, match="what was deleted since the backup is not known"):
        restore_gallery(tmp_path / "backup", uri, replace=True)
    path.unlink()
    open_it().close()
    with pytest.raises(GalleryError, match="is another gallery than the one in the backup"):
        restore_gallery(tmp_path / "backup", uri, replace=True)
    assert not list(tmp_path.glob("*.restoring"))


def altered(content: bytes) -> bytes:
    return content[:20_000] + bytes([content[20_000] ^ 1]) + content[20_001:]


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("gallery.db", altered, r"gallery\.db is damaged: its sha256"),
        ("gallery.db", lambda content: content[:1000], r"gallery\.db is damaged: its sha256"),
        ("gallery.db", None, r"gallery\.db is missing"),
        ("manifest.json", None, r"not a complete backup: it has no manifest\.json"),
        ("manifest.json", lambda content: content[:50], r"manifest\.json is damaged"),
        (
            "manifest.json",
            lambda content: content.replace(b'"images":10', b'"images":11'),
            "holds .* identities",
        ),
        (
            "manifest.json",
            lambda content: content.replace(b'"image_id":"1"', b'"image_id":"2"'),
            "ranks differently",
        ),
    ],
)
def test_damaged_backup_is_refused(
    open_it: Opener,
    tmp_path: Path,
    elsewhere: str,
    file: str,
    damage: Callable[[bytes], bytes] | None,
    message: str,
) -> None:
    gallery = open_it()
    fill(gallery, 0, 10)
    gallery.backup(tmp_path / "backup")
    path = tmp_path / "backup" / file
    before = path.read_bytes().replace(b": ", b":") if file == "manifest.json" else path.read_bytes()
    path.unlink() if damage is None else path.write_bytes(damage(before))
    assert damage is None or damage(before) != before
    with pytest.raises(GalleryError, match=message):
        restore_gallery(tmp_path / "backup", elsewhere)
    assert not (tmp_path / "other machine" / "restored.db").exists()


def test_what_cannot_be_backed_up(open_it: Opener, tmp_path: Path) -> None:
    gallery = open_it()
    (tmp_path / "there").mkdir()
    with pytest.raises(GalleryError, match="exists already"):
        gallery.backup(tmp_path / "there")
    with pytest.raises(GalleryUnavailable, match="there is no gallery"):
        backup_gallery(f"sqlite:///{tmp_path / 'none.db'}", tmp_path / "b")
    with pytest.raises(GalleryUnavailable, match=r"backup of .* failed"):
        gallery.backup(tmp_path / "b", {"x": tmp_path / "missing"})
    for name in ("../x", "manifest.json", "gallery.db", "a/b"):
        with pytest.raises(GalleryError, match="cannot be the name"):
            gallery.backup(tmp_path / "b", {name: tmp_path / "gallery.db"})
    assert not list(tmp_path.glob("b*"))


def test_places_that_are_not_what_they_should_be_are_named(
    open_it: Opener, tmp_path: Path, elsewhere: str
) -> None:
    backup, file, empty = tmp_path / "backup", tmp_path / "file", tmp_path / "empty.db"
    gallery = open_it()
    gallery.backup(backup)
    gallery.close()
    source, below = f"sqlite:///{tmp_path / 'gallery.db'}", f"sqlite:///{file / 'gallery.db'}"
    for path in (file, empty):
        path.touch()
    for error, text, call in (
        (GalleryError, f"{file}/manifest.json cannot be read", lambda: restore_gallery(file, elsewhere)),
        (GalleryUnavailable, f"{file}/gallery.db cannot be opened", lambda: restore_gallery(backup, below)),
        (GalleryUnavailable, f"{file}/gallery.db cannot be opened", lambda: migrate(source, below)),
        (GalleryUnavailable, f"{empty} is an empty file", lambda: migrate(f"sqlite:///{empty}", elsewhere)),
        (
            GalleryUnavailable,
            f"{empty} is an empty file",
            lambda: backup_gallery(f"sqlite:///{empty}", tmp_path / "x"),
        ),
        (
            GalleryError,
            "there is no later copy",
            lambda: restore_gallery(backup, elsewhere, later=file / "no"),
        ),
    ):
        with pytest.raises(error, match=re.escape(text)):
            call()
