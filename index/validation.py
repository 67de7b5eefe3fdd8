"""What may enter a gallery, checked before anything is written."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from index.errors import InvalidEnrolment
from index.types import Enrolment, Scalar, Vectors

MAX_NAME_BYTES = 512
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def check_enrolment(item: Enrolment) -> None:
    check_name("identity", item.identity)
    if item.camera is not None:
        check_name("camera", item.camera)
    if not item.content_hash or not is_text(item.content_hash):
        raise InvalidEnrolment("content_hash is empty, or not valid Unicode")
    if item.filename is not None and not is_text(item.filename):
        raise InvalidEnrolment(f"filename {item.filename!r} is not valid Unicode")


def is_text(text: str) -> bool:
    """Whether it can be stored: JSON and file names may bring half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_name(what: str, name: str) -> None:
    """Any text that SQLite stores and returns unchanged; a path or an emoji is a name like any other."""
    if not is_text(name):
        raise InvalidEnrolment(f"{what} {name!r} is not valid Unicode")
    size = len(name.encode())
    if not 1 <= size <= MAX_NAME_BYTES:
        raise InvalidEnrolment(f"{what} has {size} bytes in UTF-8; allowed are 1 to {MAX_NAME_BYTES}")
    if "\0" in name:
        raise InvalidEnrolment(f"{what} {name!r} holds a NUL character")


def check_vectors(vectors: Vectors, dimension: int) -> Vectors:
    """(Q, dimension) float32, contiguous, unit rows."""
    rows = np.ascontiguousarray(vectors, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] != dimension:
        raise InvalidEnrolment(f"vectors of shape {rows.shape}; this gallery holds (N, {dimension})")
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))  # (Q,)
    if not np.all(np.abs(norms - 1) <= 1e-2):  # also false for NaN
        raise InvalidEnrolment("vectors must be finite and of unit length")
    return rows


def stack(items: list[Enrolment], dimension: int) -> Vectors:
    """The vectors of all items as (N, dimension) float32, checked."""
    if not items:
        return np.empty((0, dimension), np.float32)
    for item in items:
        if item.vector.shape != (dimension,):
            raise InvalidEnrolment(
                f"a vector of shape {item.vector.shape}; this gallery holds ({dimension},)"
            )
    return check_vectors(np.stack([item.vector for item in items]), dimension)


def microseconds(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise InvalidEnrolment(f"{moment.isoformat()} has no time zone")
    return (moment - _EPOCH) // _MICROSECOND


def moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def to_json(what: str, value: Mapping[str, Any]) -> str:
    try:
        text = json.dumps(
            dict(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
        )
    except (TypeError, ValueError) as error:
        raise InvalidEnrolment(f"{what} is not a JSON object: {error}") from error
    if not is_text(text):
        raise InvalidEnrolment(f"{what} is not valid Unicode")
    return text


def facts(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The top-level scalars of a metadata object, as they are stored to be filtered on."""
    return [
        (key, scalar_to_json(value))
        for key, value in metadata.items()
        if value is None or isinstance(value, str | int | float)
    ]


def scalar_to_json(value: Scalar) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # JSON knows one kind of number: 3.0 is 3
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
