"""A copy of the segments in one file, so that a large gallery opens without reading every row of the store.

It is never needed: one that is missing, cut short, altered or of another state is named in the log, and the
segments are built from the store. It is tied to the store by a random token, which is in the file and in the
store, and by the store's generation, which every change counts up. It holds the rows of each segment in turn, then
a footer.
"""

import hashlib
import json
import os
import struct
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from index.database import sync_folder
from index.segment import SEGMENT_ROWS, Segment
from index.store import Rows
from index.view import View, living_rows

_TRAILER = struct.Struct("<I32s8s")  # length and sha256 of the footer, and a mark
_MARK = b"DGRLSNAP"
FORMAT = 1


class SnapshotRejected(Exception):
    """Why a snapshot is not used."""


@dataclass(frozen=True, slots=True)
class Tie:
    """What a snapshot must share with the store."""

    gallery_id: str
    token: str
    generation: int
    bundle_id: str
    dimension: int


@dataclass(frozen=True, slots=True)
class _Block:
    rows: int
    offset: int
    sha256: str


def write(path: Path, view: View, tie: Tie) -> None:
    """Under a temporary name first, and on the disk before it takes its own."""
    partial = path.with_name(path.name + ".partial")
    try:
        with open(
            os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb"
        ) as file:
            blocks = []
            for rows in living_rows(view):
                if not len(rows.ids):
                    continue
                digest, offset = hashlib.sha256(), file.tell()
                for array in _arrays(rows):
                    digest.update(array)
                    file.write(array)
                blocks.append(_Block(len(rows.ids), offset, digest.hexdigest()))
            footer = json.dumps(
                {"format": FORMAT, "tie": asdict(tie), "blocks": [asdict(block) for block in blocks]}
            ).encode()
            file.write(footer)
            file.write(_TRAILER.pack(len(footer), hashlib.sha256(footer).digest(), _MARK))
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def read(path: Path, tie: Tie, threads: int) -> tuple[Segment, ...]:
    """The segments, every byte checked. Raises SnapshotRejected."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise SnapshotRejected("there is none") from error
    try:
        footer = _footer(handle)
        if footer["format"] != FORMAT:
            raise SnapshotRejected(f"it has format {footer['format']}, not {FORMAT}")
        _compare(footer["tie"], tie)
        blocks = [_Block(**block) for block in footer["blocks"]]
        with ThreadPoolExecutor(threads) as pool:
            last = len(blocks) - 1
            jobs = [
                pool.submit(_segment, handle, block, tie.dimension, number == last)
                for number, block in enumerate(blocks)
            ]
            return tuple(job.result() for job in jobs)
    except OSError as error:
        raise SnapshotRejected(f"it cannot be read: {error}") from error
    finally:
        os.close(handle)


def _footer(handle: int) -> dict[str, Any]:
    size = os.fstat(handle).st_size
    if size < _TRAILER.size:
        raise SnapshotRejected("it is cut short")
    length, digest, mark = _TRAILER.unpack(os.pread(handle, _TRAILER.size, size - _TRAILER.size))
    start = size - _TRAILER.size - length
    if mark != _MARK or start < 0:
        raise SnapshotRejected("it is cut short, or no snapshot")
    footer = os.pread(handle, length, start)
    if hashlib.sha256(footer).digest() != digest:
        raise SnapshotRejected("its footer is damaged")
    content: dict[str, Any] = json.loads(footer)
    return content


def _compare(found: dict[str, Any], tie: Tie) -> None:
    if found["gallery_id"] != tie.gallery_id:
        raise SnapshotRejected("it is of another gallery")
    if (found["bundle_id"], found["dimension"]) != (tie.bundle_id, tie.dimension):
        raise SnapshotRejected(f"it holds vectors of bundle {found['bundle_id']}")
    if found["generation"] != tie.generation:
        raise SnapshotRejected(
            f"it is of generation {found['generation']}, and the store of {tie.generation}"
        )
    if found["token"] != tie.token:
        raise SnapshotRejected("the store knows nothing of it")


def _segment(handle: int, block: _Block, dimension: int, is_last: bool) -> Segment:
    segment = Segment.empty(dimension, max(SEGMENT_ROWS, block.rows) if is_last else block.rows)
    digest, offset = hashlib.sha256(), block.offset
    for array in _arrays(segment.columns, block.rows):
        target = array
        while target:
            read = os.preadv(handle, [target], offset)
            if read == 0:
                raise SnapshotRejected("it is cut short")
            digest.update(target[:read])
            target, offset = target[read:], offset + read
    if digest.hexdigest() != block.sha256:
        raise SnapshotRejected(f"its rows from byte {block.offset} on are damaged")
    return segment.filled(block.rows)


def _arrays(rows: Rows, count: int | None = None) -> Iterable[memoryview]:
    """The columns as bytes, in a fixed order."""
    for name in Rows.__slots__:
        array: np.ndarray[Any, Any] = np.ascontiguousarray(getattr(rows, name)[:count])
        yield array.reshape(-1).view(np.uint8).data
