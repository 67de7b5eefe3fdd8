"""An image as a row of Milvus, and back; filters as an expression that Milvus evaluates inside the search.

Texts of any kind are quoted. Metadata is compared by 63-bit hashes of `key` and JSON value, in a list of numbers: an
equality of typed values, which Milvus's own JSON does not offer in the same way in all its versions.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from index import validation
from index.errors import InvalidEnrolment
from index.listing import after_prefix
from index.milvus.connection import MAX_LIST, MAX_TEXT
from index.store import NO_TIME
from index.types import Enrolment, Filters, ImageRecord, Vectors

RECORD = (
    "id", "identity", "content_hash", "camera", "captured_at", "enrolled_at", "flagged", "details",
)  # fmt: skip
NOTHING = "id < 0"
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def make_row(
    item: Enrolment, image: int, enrolled_at: int, vector: Vectors, picture: str | None
) -> dict[str, Any]:
    """`vector` (D,) is stored at float16's precision, as the embedded gallery has it. `picture`: its media type."""
    about = details(item.metadata, item.quality, item.filename, picture)  # checks them
    return {
        "id": image,
        "identity": item.identity,
        "content_hash": fitting("content_hash", item.content_hash),
        "camera": item.camera or "",
        "captured_at": NO_TIME if item.captured_at is None else validation.microseconds(item.captured_at),
        "enrolled_at": enrolled_at,
        "flagged": item.flagged,
        "facts": fact_numbers(item.metadata or {}),
        "details": about,
        "vector": vector.astype(np.float16).astype(np.float32),
    }


def row_size(rows: Sequence[Mapping[str, Any]]) -> int:
    """Bytes of the greatest of these, about."""
    texts = ("identity", "content_hash", "camera", "details")
    return max(
        4 * len(row["vector"]) + 8 * len(row["facts"]) + sum(len(row[text].encode()) for text in texts) + 100
        for row in rows
    )


def details(
    metadata: Mapping[str, Any] | None,
    quality: Mapping[str, float] | None,
    filename: str | None,
    media_type: str | None,
) -> str:
    for what, value in (("metadata", metadata), ("quality", quality)):
        if value is not None:
            validation.to_json(what, value)
    whole = {"metadata": metadata, "quality": quality, "filename": filename, "media_type": media_type}
    text = validation.to_json("details", {key: value for key, value in whole.items() if value is not None})
    return fitting("metadata, quality and filename", text)


def fitting(what: str, text: str) -> str:
    size = len(text.encode())
    if size > MAX_TEXT:
        raise InvalidEnrolment(f"{size} bytes of {what}; Milvus holds at most {MAX_TEXT}")
    return text


def fact_numbers(metadata: Mapping[str, Any]) -> list[int]:
    numbers = sorted({_fact(key, value) for key, value in validation.facts(metadata)})
    if len(numbers) > MAX_LIST:
        raise InvalidEnrolment(
            f"metadata has {len(numbers)} values to filter on; Milvus holds at most {MAX_LIST}"
        )
    return numbers


def _fact(key: str, value: str) -> int:
    digest = hashlib.blake2b(f"{key}\0{value}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def to_record(row: Mapping[str, Any]) -> ImageRecord:
    about = json.loads(row["details"])
    captured = int(row["captured_at"])
    return ImageRecord(
        image_id=str(row["id"]),
        camera=row["camera"] or None,
        captured_at=None if captured == NO_TIME else validation.moment(captured),
        metadata=about.get("metadata"),
        filename=about.get("filename"),
        quality=about.get("quality"),
        flagged=bool(row["flagged"]),
        content_hash=row["content_hash"],
        media_type=about.get("media_type"),
        enrolled_at=validation.moment(int(row["enrolled_at"])),
    )


def quoted(text: str) -> str:
    return f'"{text.translate(_ESCAPES)}"'


def one_of(field: str, names: Iterable[str]) -> str:
    """Names that are not valid Unicode are no names of anything."""
    listed = [quoted(name) for name in sorted(names) if validation.is_text(name)]
    return f"{field} in [{','.join(listed)}]" if listed else NOTHING


def starting_with(field: str, prefix: str) -> str:
    if not validation.is_text(prefix):
        return NOTHING
    end = after_prefix(prefix)
    return f"{field} >= {quoted(prefix)}" + (f" and {field} < {quoted(end)}" if end is not None else "")


def expression(filters: Filters) -> str:
    """Empty: everything passes."""
    parts = []
    if filters.cameras is not None:
        parts.append(one_of("camera", filters.cameras))
    if filters.exclude_cameras:
        parts.append(f"not ({one_of('camera', filters.exclude_cameras)})")
    if filters.since is not None:
        parts.append(f"captured_at >= {validation.microseconds(filters.since)}")
    if filters.until is not None:
        until = validation.microseconds(filters.until)
        parts.append(f"captured_at < {until} and captured_at > {NO_TIME + 1}")
    if filters.identities is not None:
        parts.append(one_of("identity", filters.identities))
    if filters.prefix:
        parts.append(starting_with("identity", filters.prefix))
    for key, value in filters.metadata.items():
        parts.append(_having(key, validation.scalar_to_json(value)))
    return " and ".join(f"({part})" for part in parts)


def _having(key: str, value: str) -> str:
    return f"array_contains(facts, {_fact(key, value)})" if validation.is_text(key + value) else NOTHING
