"""Reading what is enrolled, page by page. Every function runs inside the caller's read transaction."""

import json
import sqlite3
from typing import Any

from index import validation
from index.cursor import check_limit, read_cursor, read_number, write_cursor
from index.errors import UnknownIdentity, UnknownImage
from index.store import find_identity
from index.types import Counts, IdentitySummary, Image, ImageRecord, Page


def identities(tx: sqlite3.Connection, cursor: str | None, limit: int, prefix: str) -> Page[IdentitySummary]:
    """Sorted by name, in the order of Unicode code points."""
    after = read_cursor("identity", cursor)
    if not validation.is_text(prefix):
        return Page((), None)
    conditions, values = ["name >= ?"], [prefix]
    if (end := after_prefix(prefix)) is not None:
        conditions.append("name < ?")
        values.append(end)
    if after is not None:
        conditions.append("name > ?")
        values.append(after)
    query = f"SELECT id, name FROM identities WHERE {' AND '.join(conditions)} ORDER BY name LIMIT ?"
    rows = tx.execute(query, (*values, check_limit(limit) + 1)).fetchall()
    page, more = rows[:limit], len(rows) > limit
    images = _images_and_cameras(tx, [row[0] for row in page])
    items = tuple(IdentitySummary(name, *images[row_id]) for row_id, name in page)
    return Page(items, write_cursor("identity", items[-1].identity) if more else None)


def _images_and_cameras(tx: sqlite3.Connection, ids: list[int]) -> dict[int, tuple[int, tuple[str, ...]]]:
    query = (
        "SELECT i.identity, c.name, count(*) FROM images i LEFT JOIN cameras c ON c.id = i.camera"
        " WHERE i.identity IN (SELECT value FROM json_each(?)) GROUP BY i.identity, i.camera"
    )
    counts, cameras = dict.fromkeys(ids, 0), {row_id: list[str]() for row_id in ids}
    for row_id, camera, images in tx.execute(query, (json.dumps(ids),)):
        counts[row_id] += images
        if camera is not None:
            cameras[row_id].append(camera)
    return {row_id: (counts[row_id], tuple(sorted(cameras[row_id]))) for row_id in ids}


_RECORD = (
    "SELECT i.id, c.name, i.captured_at, i.metadata, i.filename, i.quality, i.flagged, i.content_hash,"
    " p.media_type, i.enrolled_at"
    " FROM images i LEFT JOIN cameras c ON c.id = i.camera LEFT JOIN pictures p ON p.image = i.id"
)


def images(tx: sqlite3.Connection, identity: str, cursor: str | None, limit: int) -> Page[ImageRecord]:
    """In order of enrolment."""
    start = read_number("image", cursor)
    owner = _known(tx, identity)
    query = f"{_RECORD} WHERE i.identity = ? AND i.id > ? ORDER BY i.id LIMIT ?"
    rows = tx.execute(query, (owner, start, check_limit(limit) + 1)).fetchall()
    items = tuple(_record(row) for row in rows[:limit])
    return Page(items, write_cursor("image", items[-1].image_id) if len(rows) > limit else None)


def _record(row: tuple[Any, ...]) -> ImageRecord:
    image, camera, captured, metadata, filename, quality, flagged, content_hash, media_type, enrolled = row
    return ImageRecord(
        image_id=str(image),
        camera=camera,
        captured_at=None if captured is None else validation.moment(captured),
        metadata=None if metadata is None else json.loads(metadata),
        filename=filename,
        quality=None if quality is None else json.loads(quality),
        flagged=bool(flagged),
        content_hash=content_hash,
        media_type=media_type,
        enrolled_at=validation.moment(enrolled),
    )


def image(tx: sqlite3.Connection, identity: str, image_id: str) -> Image | None:
    owner = _known(tx, identity)
    query = (
        "SELECT p.media_type, p.data FROM images i LEFT JOIN pictures p ON p.image = i.id"
        " WHERE i.id = ? AND i.identity = ?"
    )
    row = tx.execute(query, (image_row(image_id), owner)).fetchone()
    if row is None:
        raise UnknownImage(f"{identity!r} has no image {image_id!r}")
    return None if row[0] is None else Image(row[1], row[0])


def count(tx: sqlite3.Connection) -> Counts:
    identities, images = tx.execute(
        "SELECT (SELECT count(*) FROM identities), (SELECT count(*) FROM images)"
    ).fetchone()
    return Counts(identities, images)


def images_with(tx: sqlite3.Connection, key: str, value: str) -> list[int]:
    """The images whose metadata has this value, in ascending order."""
    if not validation.is_text(key + value):
        return []
    rows = tx.execute("SELECT image FROM facts WHERE key = ? AND value = ? ORDER BY image", (key, value))
    return [row[0] for row in rows]


def image_row(image_id: str) -> int:
    """The row that an image id names; 0, which is no row, for anything that this gallery never gave out."""
    number = int(image_id) if image_id.isascii() and image_id.isdecimal() and len(image_id) < 20 else 0
    return number if str(number) == image_id and number < 2**63 else 0


def after_prefix(prefix: str) -> str | None:
    """The first text past all that start with `prefix`; None when there is none."""
    stem = prefix.rstrip("\U0010ffff")
    if not stem:
        return None
    following = ord(stem[-1]) + 1
    return stem[:-1] + chr(0xE000 if following == 0xD800 else following)


def _known(tx: sqlite3.Connection, identity: str) -> int:
    row_id = find_identity(tx, identity)
    if row_id is None:
        raise UnknownIdentity(f"no identity {identity!r}")
    return row_id
