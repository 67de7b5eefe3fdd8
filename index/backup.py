"""Copies of a gallery, taken while it serves."""

import contextlib
import os
import sqlite3
from pathlib import Path

from index.database import connect_read_only, sync_folder
from index.errors import GalleryError, GalleryUnavailable


def copy_database(source: Path, target: Path) -> None:
    """One consistent state of `source` as the new file `target`, on the disk when this returns."""
    if target.exists():
        raise GalleryError(f"{target} exists already")
    partial = target.with_name(target.name + ".partial")
    try:
        with (
            contextlib.closing(connect_read_only(source)) as origin,
            contextlib.closing(sqlite3.connect(partial)) as copy,
        ):
            origin.backup(copy)
        _sync(partial)
        partial.rename(target)
        sync_folder(target.parent)
    except (sqlite3.Error, OSError) as error:
        partial.unlink(missing_ok=True)
        raise GalleryUnavailable(f"the backup of {source} to {target} failed: {error}") from error


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
