"""Backups: a folder with one consistent state of the store, taken while it serves, and a manifest that proves it."""

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from index import listing, schema, selection, spaces
from index.database import connect_read_only, sync_file, sync_folder
from index.errors import GalleryError, GalleryUnavailable
from index.gallery import NO_FILTERS
from index.ranking import Wanted, rank
from index.scan import Scanner
from index.scrub import scrub_file
from index.source import ViewSource
from index.view import View, living_rows

MANIFEST, DATABASE = "manifest.json", "gallery.db"
_SAMPLES, _TOP_K, _CLOSE = 8, 10, 1e-5


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Ranked(_Record):
    identity: str
    image_id: str
    score: float


class Sample(_Record):
    """What a search with the stored vector of `probe` found."""

    probe: str
    matches: tuple[Ranked, ...]


class BackupManifest(_Record):
    format: int = 1
    created: datetime
    gallery_id: str
    generation: int
    bundle_id: str
    dimension: int
    identities: int
    images: int
    samples: tuple[Sample, ...]
    files: dict[str, str]  # name, sha256


def back_up(source: Path, target: Path, extra: Mapping[str, Path] | None = None) -> BackupManifest:
    """Write the folder `target`, which must not exist; another process may serve `source` meanwhile.

    `extra`: further files to keep with it, by the name that they get (a bundle's manifest, a configuration).
    """
    if target.exists():
        raise GalleryError(f"{target} exists already")
    if not source.is_file():
        raise GalleryUnavailable(f"there is no gallery {source}")
    partial = target.with_name(target.name + ".partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700, parents=True)
        _copy_database(source, partial / DATABASE)
        for name, file in (extra or {}).items():
            _copy_extra(file, partial, name)
        manifest = _describe(partial)
        (partial / MANIFEST).write_text(manifest.model_dump_json(indent=1))
        sync_file(partial / MANIFEST)
        sync_folder(partial)
        partial.rename(target)
        sync_folder(target.parent)
    except (sqlite3.Error, OSError) as error:
        raise GalleryUnavailable(f"the backup of {source} to {target} failed: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def _copy_database(source: Path, target: Path) -> None:
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT, 0o600))
    with (
        contextlib.closing(connect_read_only(source)) as origin,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        if not schema.check(origin, str(source)):
            raise GalleryUnavailable(f"{source} is an empty file")
        origin.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, complete in itself
    scrub_file(target)
    sync_file(target)


def _copy_extra(file: Path, folder: Path, name: str) -> None:
    if PurePosixPath(name).name != name or name in (MANIFEST, DATABASE):
        raise GalleryError(f"{name!r} cannot be the name of a file in a backup")
    shutil.copyfile(file, folder / name)
    sync_file(folder / name)


def _describe(folder: Path) -> BackupManifest:
    path = folder / DATABASE
    with contextlib.closing(connect_read_only(path)) as tx:
        _check_integrity(tx, path)
        space = spaces.active(tx)
        view = spaces.load(tx, space)
        counts = listing.count(tx)
        gallery_id = schema.gallery_id(tx)
    rows = [image for part in living_rows(view) for image in part.ids.tolist()]
    probes = rows[:: max(1, len(rows) // _SAMPLES)][:_SAMPLES]
    return BackupManifest(
        created=datetime.now(UTC),
        gallery_id=gallery_id,
        generation=view.generation,
        bundle_id=space.bundle_id,
        dimension=space.dimension,
        identities=counts.identities,
        images=counts.images,
        samples=tuple(Sample(probe=str(probe), matches=_search(view, probe)) for probe in probes),
        files={file.name: _sha256(file) for file in sorted(folder.iterdir())},
    )


def _search(view: View, image: int) -> tuple[Ranked, ...]:
    ids = np.array([image], np.int64)
    [probe] = [
        segment.decoded(segment.positions(ids)) for segment in view.segments if len(segment.positions(ids))
    ]
    with contextlib.closing(Scanner(1)) as scanner:
        source = ViewSource(view, scanner, selection.choose(view, NO_FILTERS, None))
        [matches] = rank(source, probe, Wanted(_TOP_K, 1, None))
    return tuple(
        Ranked(identity=match.identity, image_id=match.images[0].image_id, score=match.score)
        for match in matches
    )


def read_manifest(backup: Path) -> BackupManifest:
    """Of a backup whose files are all as they were written. Raises GalleryError, naming the file."""
    path = backup / MANIFEST
    try:
        manifest = BackupManifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise GalleryError(f"{backup} is not a complete backup: it has no {MANIFEST}") from error
    except OSError as error:
        raise GalleryError(f"{path} cannot be read: {error.strerror}") from error
    except (ValidationError, json.JSONDecodeError) as error:
        raise GalleryError(f"{path} is damaged: {error}") from error
    for name, digest in manifest.files.items():
        file = backup / PurePosixPath(name).name
        if not file.is_file():
            raise GalleryError(f"{file} is missing")
        if _sha256(file) != digest:
            raise GalleryError(f"{file} is damaged: its sha256 is not that of the manifest")
    return manifest


def prove(path: Path, manifest: BackupManifest) -> None:
    """The database at `path` holds what the manifest says, and ranks as the original did. Raises GalleryError."""
    with contextlib.closing(connect_read_only(path)) as tx:
        schema.check(tx, str(path))
        _check_integrity(tx, path)
        counts = listing.count(tx)
        view = spaces.load(tx, spaces.active(tx))
    found = (counts.identities, counts.images, view.images)
    if found != (manifest.identities, manifest.images, manifest.images):
        raise GalleryError(
            f"{path} holds {found} identities, images and vectors; the manifest says otherwise"
        )
    for sample in manifest.samples:
        if not _alike(_search(view, int(sample.probe)), sample.matches):
            raise GalleryError(f"{path} ranks differently than the original for image {sample.probe}")


def _alike(found: tuple[Ranked, ...], expected: tuple[Ranked, ...]) -> bool:
    """Equal but for the rounding of another processor, which may swap neighbours of as good as equal scores."""
    scores = np.array([one.score for one in expected])
    return len(found) == len(expected) and all(
        abs(here.score - there.score) <= _CLOSE
        and (
            (here.identity, here.image_id) == (there.identity, there.image_id)
            or np.count_nonzero(np.abs(scores - there.score) <= _CLOSE) > 1
        )
        for here, there in zip(found, expected, strict=True)
    )


def _check_integrity(tx: sqlite3.Connection, path: Path) -> None:
    result = tx.execute("PRAGMA integrity_check(3)").fetchall()
    if result != [("ok",)]:
        raise GalleryUnavailable(f"{path} is damaged: {'; '.join(row[0] for row in result)}")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
