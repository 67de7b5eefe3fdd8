"""Lines of the journal that are not of the audit log: facts about the gallery, as JSON under a fixed number."""

import json
import time
from typing import Any

from index.milvus.connection import Connection

CLOSED, OPEN, SERVICE, MARK = range(4)  # states of a line; those from SERVICE on are not of the audit log
GALLERY = 2**62  # which gallery it is
TRANSFER = 2**62 + 1  # it is being filled, and how far that came


def write(
    connection: Connection, journal: str, number: int, about: dict[str, Any], action: str = "mark"
) -> None:
    line = {
        "id": number,
        "at": time.time_ns() // 1000,
        "actor": "null",
        "action": action,
        "state": MARK,
        "images": [],
        "detail": json.dumps(about),
        "vector": [0.0, 0.0],
    }
    connection.upsert(journal, [line], 1000)


def read(connection: Connection, journal: str, number: int) -> dict[str, Any] | None:
    rows = connection.read(journal, f"id == {number}", ["detail"], 1, strong=True)
    return dict(json.loads(rows[0]["detail"])) if rows else None


def all_of(connection: Connection, journal: str, action: str) -> list[dict[str, Any]]:
    rows = connection.read(journal, f'state == {MARK} and action == "{action}"', ["detail"], strong=True)
    return [json.loads(row["detail"]) for row in rows]


def erase(connection: Connection, journal: str, number: int) -> None:
    connection.delete(journal, [number])
