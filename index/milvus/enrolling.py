"""Enrolments: what an identity has already is not stored twice, and each step can be repeated without harm.

In order: the audit line, the name in the directory, the pictures, the rows, the name once more (somebody may have
removed the identity meanwhile). The rows are what makes an enrolment; what is left of a cut-short one is a line that
tells of an attempt, perhaps a name without images, which no listing shows, and pictures that belong to no row.
"""

import time
from collections.abc import Sequence

from index.milvus.parts import Parts
from index.milvus.rows import make_row, one_of, row_size
from index.types import Added, Enrolment, Vectors

_ASKED_AT_ONCE = 1000
Key = tuple[str, str]  # identity and content hash


class Enrolling:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def add(self, items: Sequence[Enrolment], vectors: Vectors, actor: str | None) -> list[Added]:
        """`vectors` (N, D), one row for each item; the caller keeps others from changing these identities."""
        known = self._known(items)
        added: list[Added] = []
        fresh: list[int] = []
        new = {_key(item) for item in items} - known.keys()
        numbers = iter(self._parts.journal.numbers(len(new)) if new else [])
        for position, item in enumerate(items):
            key = _key(item)
            duplicate = key in known
            if not duplicate:
                known[key] = next(numbers)
                fresh.append(position)
            added.append(Added(str(known[key]), item.identity, duplicate))
        if fresh:
            self._store(
                [items[p] for p in fresh], [known[_key(items[p])] for p in fresh], vectors[fresh], actor
            )
        return added

    def _known(self, items: Sequence[Enrolment]) -> dict[Key, int]:
        found: dict[Key, int] = {}
        for start in range(0, len(items), _ASKED_AT_ONCE):
            part = items[start : start + _ASKED_AT_ONCE]
            condition = " and ".join(
                (
                    one_of("identity", {i.identity for i in part}),
                    one_of("content_hash", {i.content_hash for i in part}),
                )
            )
            for page in self._parts.connection.pages(
                self._parts.images, condition, ["identity", "content_hash"]
            ):
                for row in page:
                    found.setdefault((row["identity"], row["content_hash"]), row["id"])
        return found

    def _store(self, items: list[Enrolment], images: list[int], vectors: Vectors, actor: str | None) -> None:
        now = time.time_ns() // 1000
        rows = [
            make_row(item, image, now, vector, self._media_type(item))
            for item, image, vector in zip(items, images, vectors, strict=True)
        ]
        owners: dict[str, list[int]] = {}
        for item, image in zip(items, images, strict=True):
            owners.setdefault(item.identity, []).append(image)
        lines = [
            self._parts.journal.compose(actor, "enrol", own, identity=identity)
            for identity, own in owners.items()
        ]
        self._parts.journal.write([line for some in lines for line in some])
        self._parts.people.keep(owners)
        self._write_pictures(items, images)
        self._parts.connection.upsert(self._parts.images, rows, row_size(rows))
        self._parts.people.keep(owners)

    def _media_type(self, item: Enrolment) -> str | None:
        return item.image.media_type if item.image is not None and self._parts.pictures is not None else None

    def _write_pictures(self, items: list[Enrolment], images: list[int]) -> None:
        for item, image in zip(items, images, strict=True):
            if item.image is not None and self._parts.pictures is not None:
                self._parts.pictures.write(image, item.image)


def _key(item: Enrolment) -> Key:
    return item.identity, item.content_hash
