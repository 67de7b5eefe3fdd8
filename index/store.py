"""The rows of the gallery: what each change writes. Every function runs inside the caller's transaction."""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from index import validation
from index.errors import UnknownIdentity
from index.schema import vector_table
from index.types import Added, Enrolment, Vectors

NO_TIME = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Rows:
    """Images as the search needs them, in ascending order of `ids`; all arrays have N rows."""

    ids: NDArray[np.int64]
    identities: NDArray[np.int64]
    cameras: NDArray[np.int64]  # 0: none
    times: NDArray[np.int64]  # microseconds, or NO_TIME
    flagged: NDArray[np.bool_]
    vectors: NDArray[np.float16]  # (N, D)


@dataclass(slots=True)
class Names:
    """Row ids with the names that they stand for."""

    identities: dict[int, str] = field(default_factory=dict)
    cameras: dict[int, str] = field(default_factory=dict)


@dataclass(slots=True)
class Inserted:
    added: list[Added]
    rows: Rows
    names: Names


def insert(
    tx: sqlite3.Connection, space: int, items: Sequence[Enrolment], vectors: Vectors, keep_images: bool
) -> Inserted:
    """Store the items that their identities do not have yet. `vectors` is (N, D), one row for each item."""
    names, added, columns, taken = Names(), [], [], []
    known: dict[tuple[str, str], int] = {}
    now = _now(tx)
    halves = vectors.astype(np.float16)
    for position, item in enumerate(items):
        identity = _named(tx, "identities", item.identity, known, names.identities)
        camera = _named(tx, "cameras", item.camera, known, names.cameras) if item.camera is not None else None
        captured = validation.microseconds(item.captured_at) if item.captured_at is not None else None
        row = tx.execute(
            "INSERT INTO images (identity, content_hash, camera, captured_at, enrolled_at, flagged, quality,"
            " metadata, filename) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id",
            (identity, item.content_hash, camera, captured, now, item.flagged, *_json(item), item.filename),
        ).fetchone()
        if row is None:
            added.append(Added(_existing(tx, identity, item.content_hash), item.identity, True))
            continue
        image = int(row[0])
        _insert_details(tx, image, item, keep_images)
        added.append(Added(str(image), item.identity, False))
        time_or_none = NO_TIME if captured is None else captured
        columns.append((image, identity, camera or 0, time_or_none, item.flagged))
        taken.append(position)
    rows = _rows(columns, halves[taken])
    tx.executemany(
        f"INSERT INTO {vector_table(space)} (image, vector) VALUES (?, ?)",
        ((image, vector.tobytes()) for image, vector in zip(rows.ids.tolist(), rows.vectors, strict=True)),
    )
    return Inserted(added, rows, names)


def _now(tx: sqlite3.Connection) -> int:
    """Microseconds since 1970; never before the last enrolment, so that the order of ids is that of time."""
    row = tx.execute("SELECT enrolled_at FROM images ORDER BY id DESC LIMIT 1").fetchone()
    return max(time.time_ns() // 1000, 0 if row is None else int(row[0]))


def expired(tx: sqlite3.Connection, before: int, limit: int) -> dict[int, list[int]]:
    """The oldest images, up to `limit`, of those enrolled before a time; by identity."""
    groups: dict[int, list[int]] = {}
    for image, identity, enrolled in tx.execute(
        "SELECT id, identity, enrolled_at FROM images ORDER BY id LIMIT ?", (limit,)
    ):
        if enrolled >= before:
            break
        groups.setdefault(identity, []).append(image)
    return groups


def _insert_details(tx: sqlite3.Connection, image: int, item: Enrolment, keep_images: bool) -> None:
    if item.metadata:
        facts = [(key, value, image) for key, value in validation.facts(item.metadata)]
        tx.executemany("INSERT INTO facts (key, value, image) VALUES (?, ?, ?)", facts)
    if keep_images and item.image is not None:
        tx.execute("INSERT INTO pictures VALUES (?, ?, ?)", (image, item.image.media_type, item.image.data))


def _json(item: Enrolment) -> tuple[str | None, str | None]:
    quality = validation.to_json("quality", item.quality) if item.quality is not None else None
    metadata = validation.to_json("metadata", item.metadata) if item.metadata is not None else None
    return quality, metadata


def _named(
    tx: sqlite3.Connection, table: str, name: str, known: dict[tuple[str, str], int], fresh: dict[int, str]
) -> int:
    """The id of `name`, made when it is new."""
    if (row_id := known.get((table, name))) is not None:
        return row_id
    row = tx.execute(f"SELECT id FROM {table} WHERE name = ?", (name,)).fetchone()
    if row is None:
        row = tx.execute(f"INSERT INTO {table} (name) VALUES (?) RETURNING id", (name,)).fetchone()
        fresh[int(row[0])] = name
    known[table, name] = int(row[0])
    return int(row[0])


def _existing(tx: sqlite3.Connection, identity: int, content_hash: str) -> str:
    query = "SELECT id FROM images WHERE identity = ? AND content_hash = ?"
    return str(tx.execute(query, (identity, content_hash)).fetchone()[0])


def _rows(columns: list[tuple[int, int, int, int, bool]], vectors: NDArray[np.float16]) -> Rows:
    ids, identities, cameras, times, flagged = np.array(columns, np.int64).reshape(-1, 5).T.copy()
    return Rows(ids, identities, cameras, times, flagged.astype(np.bool_), np.ascontiguousarray(vectors))


def find_identity(tx: sqlite3.Connection, identity: str) -> int | None:
    if not validation.is_text(identity):
        return None
    row = tx.execute("SELECT id FROM identities WHERE name = ?", (identity,)).fetchone()
    return None if row is None else int(row[0])


def name_of(tx: sqlite3.Connection, identity: int) -> str:
    return str(tx.execute("SELECT name FROM identities WHERE id = ?", (identity,)).fetchone()[0])


def images_of(tx: sqlite3.Connection, identity: int) -> list[int]:
    rows = tx.execute("SELECT id FROM images WHERE identity = ? ORDER BY id", (identity,))
    return [int(row[0]) for row in rows]


def delete_images(tx: sqlite3.Connection, images: Iterable[int]) -> None:
    """Vectors, pictures and facts go with them; that they were deleted is kept, for restores of older backups."""
    now, rows = time.time_ns() // 1000, [(image,) for image in images]
    tx.executemany("DELETE FROM images WHERE id = ?", rows)
    tx.executemany(f"INSERT INTO deletions VALUES (?, {now:d})", rows)


def delete_identity(tx: sqlite3.Connection, identity: int) -> None:
    tx.execute("DELETE FROM identities WHERE id = ?", (identity,))


@dataclass(frozen=True, slots=True)
class Moved:
    """A rename: `merged_into` is None when only the name changed."""

    source: int
    merged_into: int | None
    images: list[int]
    dropped: list[int]


def rename(tx: sqlite3.Connection, identity: str, new: str) -> Moved:
    source = find_identity(tx, identity)
    if source is None:
        raise UnknownIdentity(f"no identity {identity!r}")
    target = find_identity(tx, new)
    if target is None or target == source:
        tx.execute("UPDATE identities SET name = ? WHERE id = ?", (new, source))
        return Moved(source, None, images_of(tx, source), [])
    dropped = [
        int(row[0])
        for row in tx.execute(
            "SELECT s.id FROM images s JOIN images t ON t.content_hash = s.content_hash AND t.identity = ?"
            " WHERE s.identity = ?",
            (target, source),
        )
    ]
    delete_images(tx, dropped)
    moved = images_of(tx, source)
    tx.execute("UPDATE images SET identity = ? WHERE identity = ?", (target, source))
    delete_identity(tx, source)
    return Moved(source, target, moved, dropped)


def next_generation(tx: sqlite3.Connection) -> int:
    """Count one more change; whatever is derived from the store names the generation that it shows."""
    row = tx.execute(
        "UPDATE gallery SET value = value + 1 WHERE key = 'generation' RETURNING value"
    ).fetchone()
    return int(row[0])


def generation(tx: sqlite3.Connection) -> int:
    return int(tx.execute("SELECT value FROM gallery WHERE key = 'generation'").fetchone()[0])


def setting(tx: sqlite3.Connection, key: str) -> str | None:
    row = tx.execute("SELECT value FROM gallery WHERE key = ?", (key,)).fetchone()
    return None if row is None else str(row[0])


def set_setting(tx: sqlite3.Connection, key: str, value: str) -> None:
    tx.execute("INSERT OR REPLACE INTO gallery VALUES (?, ?)", (key, value))
