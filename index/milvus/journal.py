"""The journal: who did what, which change is under way, which images were deleted; and the numbers of images.

Milvus has no transactions. What a change is about to do is written here first, as a line that is open; the line is
closed when the change is done. If a service dies in between, another one (or the same after its restart) does the
rest: see `index.milvus.changes`. Lines of deletions stay for ever, so that nothing that is copied at the same time,
or restored from an older backup, brings a deleted image back.

Numbers of images and lines ascend with time. Each is made of a time in units of 0.1 ms, and of a number that the
service drew for itself and that no other service has drawn before, so that two services never give out the same one.
"""

import json
import secrets
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from index import validation
from index.cursor import check_limit, read_number, write_cursor
from index.errors import GalleryUnavailable
from index.milvus.connection import MAX_LIST, Connection, Row
from index.milvus.marks import CLOSED, OPEN, SERVICE
from index.milvus.rows import fitting, one_of
from index.types import AuditLine, Page

FIELDS = ("id", "at", "actor", "action", "state", "images", "detail")
DELETIONS = ("delete", "expire", "drop")
_LINE = 8 * MAX_LIST + 200  # bytes of a line beside its detail, at most
_PAGE = 1000
_DRAWN_BITS = 18
_EPOCH_US = 1_577_836_800_000_000  # 2020
_SKEW = 600 * 10_000 << _DRAWN_BITS  # ten minutes, in which clocks of two services may differ


@dataclass(frozen=True, slots=True)
class Line:
    number: int
    at: int  # microseconds since 1970
    actor: str | None
    action: str
    images: tuple[int, ...]
    detail: dict[str, Any]


class Journal:
    def __init__(self, connection: Connection, collection: str) -> None:
        self._connection = connection
        self._collection = collection
        self._lock = threading.Lock()
        self._drawn: int | None = None
        self._last = 0

    def numbers(self, count: int) -> list[int]:
        """New numbers, ascending. Never given out by anybody before."""
        with self._lock:
            if self._drawn is None:
                self._drawn = self._draw()
            first = max((_now() - _EPOCH_US) // 100, self._last + 1)
            self._last = first + count - 1
            return [(tick << _DRAWN_BITS) | self._drawn for tick in range(first, first + count)]

    def _draw(self) -> int:
        """Write down what was drawn, then look whether somebody else has: of two who do so, one at least sees it."""
        for _ in range(8):
            drawn, mine = secrets.randbelow(1 << _DRAWN_BITS), secrets.randbits(62)
            self.write([Line(mine, _now(), None, "start", (drawn,), {})], SERVICE)
            condition = f"state == {SERVICE} and array_contains(images, {drawn})"
            if len(self._connection.read(self._collection, condition, ["id"], strong=True)) == 1:
                return drawn
        raise GalleryUnavailable("no number is free for this service; its journal holds too many starts")

    def compose(
        self, actor: str | None, action: str, images: Sequence[int] = (), **detail: Any
    ) -> list[Line]:
        """Lines to be written."""
        parts = [images[start : start + MAX_LIST] for start in range(0, max(1, len(images)), MAX_LIST)]
        now = _now()
        return [
            Line(number, now, actor, action, tuple(part), detail)
            for number, part in zip(self.numbers(len(parts)), parts, strict=True)
        ]

    def write(self, lines: Sequence[Line], state: int = CLOSED) -> None:
        """Anew, or over the same lines in another state."""
        rows = [_row(line, state) for line in lines]
        self._connection.upsert(
            self._collection, rows, max(_LINE + len(row["detail"].encode()) for row in rows)
        )

    def left_open(self, seconds: float) -> list[Line]:
        """Changes that were begun longer ago and not finished, from the oldest on."""
        condition = f"state == {OPEN} and at < {_now() - int(seconds * 1e6)}"
        return [_line(row) for row in self._connection.read(self._collection, condition, FIELDS, strong=True)]

    def is_open(self, line: Line) -> bool:
        condition = f"id == {line.number} and state == {OPEN}"
        return bool(self._connection.read(self._collection, condition, ["id"], 1, strong=True))

    def deleted_among(self, images: Sequence[int], since: int | None = None) -> set[int]:
        """Which of these images anybody has deleted; with `since`, a line's number, about then or later."""
        found: set[int] = set()
        recent = "" if since is None else f" and id > {since - _SKEW}"
        for start in range(0, len(images), MAX_LIST):
            part = list(images[start : start + MAX_LIST])
            condition = f"{one_of('action', DELETIONS)}{recent} and array_contains_any(images, {part})"
            for page in self._connection.pages(self._collection, condition, ["images"], strong=True):
                found.update(number for row in page for number in row["images"])
        return found & set(images)

    def all_lines(self) -> Iterator[list[Line]]:
        """Those of changes and deletions, whatever their state."""
        condition = f"state < {SERVICE}"
        for page in self._connection.pages(self._collection, condition, FIELDS, rows=_PAGE, strong=True):
            yield [_line(row) for row in page]

    def lines(self, cursor: str | None, limit: int) -> Page[AuditLine]:
        start = read_number("audit", cursor, -1)
        condition = f"id > {start} and state < {SERVICE} and action != 'drop'"
        rows = self._connection.read(self._collection, condition, FIELDS, check_limit(limit) + 1)
        items = tuple(shown(_line(row)) for row in rows[:limit])
        return Page(items, write_cursor("audit", str(rows[limit - 1]["id"])) if len(rows) > limit else None)


def _row(line: Line, state: int) -> Row:
    return {
        "id": line.number,
        "at": line.at,
        "actor": json.dumps(line.actor),
        "action": line.action,
        "state": state,
        "images": list(line.images),
        "detail": fitting(
            "the names in a line of the audit log", json.dumps(line.detail, ensure_ascii=False)
        ),
        "vector": [0.0, 0.0],
    }


def _now() -> int:
    return time.time_ns() // 1000


def _line(row: Row) -> Line:
    return Line(
        number=int(row["id"]),
        at=int(row["at"]),
        actor=json.loads(row["actor"]),
        action=row["action"],
        images=tuple(map(int, row["images"])),
        detail=json.loads(row["detail"]),
    )


def shown(line: Line) -> AuditLine:
    detail = dict(line.detail)
    if line.images:
        detail["images"] = (
            len(line.images) if line.action == "rename" else [str(image) for image in line.images]
        )
    return AuditLine(validation.moment(line.at), line.actor, line.action, detail)
