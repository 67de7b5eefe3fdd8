"""The audit log: who enrolled, searched, renamed and deleted. Lines are added and never changed (triggers see to it).

A change writes its line in its own transaction. Searches are counted by actor and written every few seconds as one
line, so that the log does not outgrow the gallery; a crash loses the counts of those seconds.
"""

import json
import sqlite3
import threading
import time
from dataclasses import dataclass
from typing import Any

from index import validation
from index.cursor import check_limit, read_number, write_cursor
from index.types import AuditLine, Page


def record(tx: sqlite3.Connection, actor: str | None, action: str, **detail: Any) -> None:
    """A line, in the same transaction as what it tells of."""
    text = json.dumps(detail, ensure_ascii=False, separators=(",", ":"))
    tx.execute(
        "INSERT INTO audit (at, actor, action, detail) VALUES (?, ?, ?, ?)",
        (time.time_ns() // 1000, actor, action, text),
    )


def lines(tx: sqlite3.Connection, cursor: str | None, limit: int) -> Page[AuditLine]:
    """From the oldest to the newest."""
    start = read_number("audit", cursor)
    query = "SELECT id, at, actor, action, detail FROM audit WHERE id > ? ORDER BY id LIMIT ?"
    rows = tx.execute(query, (start, check_limit(limit) + 1)).fetchall()
    items = tuple(
        AuditLine(validation.moment(at), actor, action, json.loads(detail))
        for _, at, actor, action, detail in rows[:limit]
    )
    return Page(items, write_cursor("audit", str(rows[limit - 1][0])) if len(rows) > limit else None)


@dataclass(slots=True)
class _Count:
    searches: int = 0
    probes: int = 0


class SearchCounts:
    """Searches that are not in the log yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str | None, _Count] = {}

    def add(self, actor: str | None, probes: int, searches: int = 1) -> None:
        with self._lock:
            count = self._counts.setdefault(actor, _Count())
            count.searches += searches
            count.probes += probes

    def take(self) -> dict[str | None, _Count]:
        with self._lock:
            taken, self._counts = self._counts, {}
        return taken

    def put_back(self, counts: dict[str | None, _Count]) -> None:
        for actor, count in counts.items():
            self.add(actor, count.probes, count.searches)


def record_searches(tx: sqlite3.Connection, counts: dict[str | None, _Count]) -> None:
    for actor, count in counts.items():
        record(tx, actor, "search", searches=count.searches, probes=count.probes)
