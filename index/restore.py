"""Restoring a backup: checked before it takes the gallery's place, and nobody who was deleted since comes back."""

import contextlib
import logging
import os
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from index import audit, schema, store
from index.backup import DATABASE, BackupManifest, prove, read_manifest
from index.database import connect_read_only, lock, sync_file, sync_folder
from index.errors import GalleryError, GalleryUnavailable
from index.scrub import scrub_file

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Restored:
    manifest: BackupManifest
    deleted_since: int  # images of the backup that are not restored, as they were deleted later


def restore(
    backup: Path, target: Path, *, replace: bool = False, later: Path | None = None, actor: str | None = None
) -> Restored:
    """Put the backup at `target`. With `replace` it may take the place of a gallery, which must not be open.

    Deletions made after the backup are known to that gallery, or to a `later` copy of it; they are applied, and the
    audit log goes on. If neither is given, or neither can be read, what was deleted since is not known.
    """
    manifest = read_manifest(backup)
    target = target.absolute()
    handle = lock(target)
    partial = target.with_name(target.name + ".restoring")
    try:
        if target.exists():
            if not replace:
                raise GalleryError(f"{target} exists already; --replace puts the backup in its place")
            later = later or target
        if later is not None and later.is_dir():
            later = later / DATABASE  # a backup
        if later is not None and not later.is_file():
            raise GalleryError(f"there is no later copy {later}")
        if target.exists():
            _settle(target, required=later == target)
        shutil.copyfile(backup / DATABASE, partial)
        partial.chmod(0o600)
        prove(partial, manifest)
        deleted = _adapt(partial, manifest, later, actor)
        scrub_file(partial)
        sync_file(partial)
        for suffix in ("-wal", "-shm", ".snapshot"):  # of the one that is replaced
            target.with_name(target.name + suffix).unlink(missing_ok=True)
        partial.rename(target)
        sync_folder(target.parent)
    except (sqlite3.Error, OSError) as error:
        raise GalleryUnavailable(f"restoring {backup} to {target} failed: {error}") from error
    finally:
        partial.unlink(missing_ok=True)
        os.close(handle)
    if later is None:
        log.warning("%s: deletions made after %s are not known here", target, manifest.created)
    return Restored(manifest, deleted)


def _settle(target: Path, required: bool) -> None:
    """Bring the write-ahead log of the gallery that is replaced into its file."""
    try:
        with contextlib.closing(sqlite3.connect(target)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        if required:
            raise GalleryUnavailable(
                f"{target} cannot be read ({error}), so what was deleted since the backup is not known:"
                " name a later copy, or move it away first"
            ) from error


def _adapt(path: Path, manifest: BackupManifest, later: Path | None, actor: str | None) -> int:
    """Apply later deletions to the restored database, and continue its audit log and its numbering."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as tx:
        tx.executescript(
            "PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA synchronous = FULL; BEGIN"
        )
        deleted = 0 if later is None else _carry_over(tx, later, manifest.gallery_id)
        store.next_generation(tx)
        audit.record(tx, actor, "restore", backup=manifest.created.isoformat(), deleted_since=deleted)
        tx.execute("COMMIT")
    return deleted


def _carry_over(tx: sqlite3.Connection, later: Path, gallery_id: str) -> int:
    with contextlib.closing(connect_read_only(later)) as other:
        schema.check(other, str(later))
        if schema.gallery_id(other) != gallery_id:
            raise GalleryError(f"{later} is another gallery than the one in the backup")
        deletions = other.execute("SELECT image, at FROM deletions").fetchall()
        sequences = other.execute("SELECT name, seq FROM sqlite_sequence").fetchall()
        generation = store.generation(other)
        last = tx.execute("SELECT ifnull(max(id), 0) FROM audit").fetchone()
        lines = other.execute("SELECT id, at, actor, action, detail FROM audit WHERE id > ?", last).fetchall()
    before = tx.execute("SELECT count(*) FROM images").fetchone()[0]
    tx.executemany("DELETE FROM images WHERE id = ?", ((image,) for image, _ in deletions))
    tx.executemany("INSERT OR IGNORE INTO deletions VALUES (?, ?)", deletions)
    tx.execute("DELETE FROM identities WHERE id NOT IN (SELECT identity FROM images)")
    tx.executemany("INSERT INTO audit (id, at, actor, action, detail) VALUES (?, ?, ?, ?, ?)", lines)
    tx.executemany("UPDATE sqlite_sequence SET seq = max(seq, ?2) WHERE name = ?1", sequences)
    tx.executemany(  # SQLite makes the row with a table's first entry: a backup from before it has none
        "INSERT INTO sqlite_sequence SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?1)",
        sequences,
    )
    tx.execute("UPDATE gallery SET value = max(value, ?) WHERE key = 'generation'", (generation,))
    return int(before - tx.execute("SELECT count(*) FROM images").fetchone()[0])
