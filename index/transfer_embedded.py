"""An embedded gallery as the source or the target of a transfer. No service may have it open."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from index import schema, selection, spaces, store, validation
from index.database import connect_read_only, lock, sync_file, sync_folder
from index.errors import GalleryError, GalleryUnavailable
from index.gallery import NO_FILTERS
from index.ranking import Wanted, rank
from index.scan import Scanner
from index.schema import vector_table
from index.source import ViewSource
from index.transfer import About, Stored, StoredLine, parsed
from index.types import Image, Match, Vectors
from index.view import View

_AT_ONCE = 500
_IMAGES = (
    "SELECT i.id, n.name, i.content_hash, c.name, i.captured_at, i.enrolled_at, i.flagged, i.quality, i.metadata,"
    " i.filename, v.vector, p.media_type, {picture} FROM images i JOIN identities n ON n.id = i.identity"
    " JOIN {vectors} v ON v.image = i.id LEFT JOIN cameras c ON c.id = i.camera"
    " LEFT JOIN pictures p ON p.image = i.id WHERE i.id > ? ORDER BY i.id LIMIT ?"
)


class EmbeddedReader:
    """See `index.transfer.Reader`. `locked`: refuse when a process serves it."""

    def __init__(self, path: Path, *, locked: bool = True) -> None:
        self._path = path.absolute()
        if not self._path.is_file():
            raise GalleryUnavailable(f"there is no gallery {self._path}")
        self._lock = lock(self._path) if locked else None
        try:
            self._tx = connect_read_only(self._path)
            if not schema.check(self._tx, str(self._path)):
                raise GalleryUnavailable(f"{self._path} is an empty file")
            self._take_space()
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.Error):
                raise GalleryUnavailable(f"{self._path} cannot be read: {error}") from error
            raise

    def _take_space(self) -> None:
        space = spaces.active(self._tx)
        self._vectors = vector_table(space.id)
        self.about = About(schema.gallery_id(self._tx), space.bundle_id, space.dimension)
        self._view: View | None = None

    def images(self, after: int = 0, pictures: bool = True) -> Iterator[list[Stored]]:
        query = _IMAGES.format(vectors=self._vectors, picture="p.data" if pictures else "NULL")
        while rows := self._tx.execute(query, (after, _AT_ONCE)).fetchall():
            yield [_stored(row, pictures) for row in rows]
            after = rows[-1][0]

    def lines(self) -> Iterator[list[StoredLine]]:
        cursor = self._tx.execute("SELECT id, at, actor, action, detail FROM audit ORDER BY id")
        while rows := cursor.fetchmany(_AT_ONCE):
            yield [
                StoredLine(number, at, actor, action, parsed(detail))
                for number, at, actor, action, detail in rows
            ]

    def ranking(self, probe: Vectors, top_k: int) -> list[Match]:
        view = self._view = self._view or spaces.load(self._tx, spaces.active(self._tx))
        with contextlib.closing(Scanner(1)) as scanner:
            source = ViewSource(view, scanner, selection.choose(view, NO_FILTERS, None))
            return rank(source, probe, Wanted(top_k, 3, None))[0]

    def close(self) -> None:
        if hasattr(self, "_tx"):
            self._tx.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class EmbeddedWriter(EmbeddedReader):
    """Writes `<path>.migrating`, which becomes `path` when it is complete."""

    def __init__(self, path: Path, about: About) -> None:
        target = path.absolute()
        self._lock = lock(target)
        self._path, self._partial = target, target.with_name(target.name + ".migrating")
        try:
            if target.exists():
                raise GalleryError(f"{target} exists already: a transfer needs a new target")
            self._partial.touch(mode=0o600)
            self._tx = sqlite3.connect(self._partial, isolation_level=None)
            self._prepare(about)
            self._take_space()
            if self.about != about:
                raise GalleryError(f"{self._partial} is the beginning of another transfer: remove it first")
        except BaseException:
            self.close()
            raise

    def _prepare(self, about: About) -> None:
        complete = schema.check(self._tx, str(self._partial))
        self._tx.executescript(
            f"PRAGMA page_size = {schema.PAGE_SIZE}; PRAGMA auto_vacuum = INCREMENTAL;"
            "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
        )
        if not complete:
            schema.create(self._tx)
            store.set_setting(self._tx, "gallery_id", about.gallery_id)
        if spaces.of_state(self._tx, "active") is None:
            schema.create_space(self._tx, about.bundle_id, about.dimension, "active")

    def reached(self) -> int:
        return int(self._tx.execute("SELECT ifnull(max(id), 0) FROM images").fetchone()[0])

    def put(self, images: Sequence[Stored]) -> None:
        with self._transaction():
            for one in images:
                self._insert(one)
            store.next_generation(self._tx)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._tx.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._tx.execute("COMMIT")
        except BaseException:
            if self._tx.in_transaction:
                self._tx.execute("ROLLBACK")
            raise

    def _insert(self, one: Stored) -> None:
        self._tx.execute(
            "INSERT OR REPLACE INTO images (id, identity, content_hash, camera, captured_at, enrolled_at, flagged,"
            " quality, metadata, filename) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                one.image, self._named("identities", one.identity), one.content_hash,
                None if one.camera is None else self._named("cameras", one.camera),
                one.captured_at, one.enrolled_at, one.flagged,
                None if one.quality is None else validation.to_json("quality", one.quality),
                None if one.metadata is None else validation.to_json("metadata", one.metadata),
                one.filename,
            ),
        )  # fmt: skip
        self._tx.execute(
            f"INSERT INTO {self._vectors} (image, vector) VALUES (?, ?)", (one.image, one.vector)
        )
        facts = [(key, value, one.image) for key, value in validation.facts(one.metadata or {})]
        self._tx.executemany("INSERT INTO facts (key, value, image) VALUES (?, ?, ?)", facts)
        if one.picture is not None:
            values = (one.image, one.picture.media_type, one.picture.data)
            self._tx.execute("INSERT INTO pictures VALUES (?, ?, ?)", values)

    def _named(self, table: str, name: str) -> int:
        self._tx.execute(f"INSERT OR IGNORE INTO {table} (name) VALUES (?)", (name,))
        return int(self._tx.execute(f"SELECT id FROM {table} WHERE name = ?", (name,)).fetchone()[0])

    def put_lines(self, lines: Sequence[StoredLine]) -> None:
        with self._transaction():
            for line in lines:
                if not line.hidden:
                    detail = validation.to_json("detail", line.detail)
                    values = (line.number, line.at, line.actor, line.action, detail)
                    self._tx.execute("INSERT OR IGNORE INTO audit VALUES (?, ?, ?, ?, ?)", values)
                for image in deleted_by(line):
                    self._tx.execute("INSERT OR IGNORE INTO deletions VALUES (?, ?)", (image, line.at))

    def complete(self) -> None:
        self._tx.close()
        sync_file(self._partial)
        self._partial.rename(self._path)
        sync_folder(self._path.parent)
        self._tx = connect_read_only(self._path)


def deleted_by(line: StoredLine) -> list[int]:
    images = line.detail.get("images")
    if line.action not in ("delete", "expire", "drop") or not isinstance(images, list):
        return []
    return [int(image) for image in images]


def _stored(row: tuple[Any, ...], pictures: bool) -> Stored:
    image, identity, content_hash, camera, captured, enrolled, flagged, quality, metadata, filename = row[:10]
    vector, media_type, data = row[10:]
    return Stored(
        image, identity, content_hash, camera, captured, enrolled, bool(flagged), parsed(quality), parsed(metadata),
        filename, bytes(vector),
        Image(data, media_type) if pictures and media_type is not None else None,
    )  # fmt: skip
