"""Deletions and renames: each is written into the journal before it is made, and can be done twice without harm.

A rename writes rows anew, and a row that somebody else deletes at the same moment would come back by it. Deletions
therefore write their line before they delete, and a rename looks for such lines after it has written. Either the
deletion finds the row that the rename wrote, or the rename finds the line of the deletion.
"""

from collections.abc import Sequence

from index.errors import UnknownIdentity
from index.milvus.connection import Row
from index.milvus.journal import DELETIONS, Line
from index.milvus.marks import OPEN
from index.milvus.parts import Parts
from index.milvus.rows import RECORD, one_of, row_size

_ALL = (*RECORD, "facts", "vector")
_PAGE = 2000


class Changes:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def erase(self, images: Sequence[int], identity: str, action: str, actor: str | None) -> None:
        """Acknowledged deletions are final: line, vectors and pictures are dealt with when it returns."""
        if not images:
            return
        lines = self._parts.journal.compose(actor, action, images, identity=identity)
        self._parts.journal.write(lines, OPEN)
        self._erase(images, identity)
        self._parts.journal.write(lines)

    def move(self, identity: str, new: str, actor: str | None) -> int:
        found = self._read(one_of("identity", [identity]))
        if not found:
            raise UnknownIdentity(f"no identity {identity!r}")
        if identity == new:
            return len(found)
        there = self._hashes_of(new)
        moved = [row for row in found if row["content_hash"] not in there]
        images = [row["id"] for row in moved]
        dropped = [row["id"] for row in found if row["content_hash"] in there]
        compose = self._parts.journal.compose
        drops = compose(actor, "drop", dropped, identity=identity) if dropped else []
        renames = compose(actor, "rename", images, identity=identity, new=new)
        self._parts.journal.write([*drops, *renames], OPEN)  # together: neither is finished without the other
        if dropped:
            self._erase(dropped, identity)
        self._move(moved, renames[0])
        self._parts.journal.write([*drops, *renames])
        return len(moved)

    def finish(self, line: Line) -> None:
        """Do the rest of a change that was cut short."""
        if line.action in DELETIONS:
            self._erase(line.images, line.detail["identity"])
        elif line.action == "rename" and line.images:
            own = f"id in {list(line.images)} and {one_of('identity', [line.detail['identity']])}"
            self._move(self._read(own), line)
        self._parts.journal.write([line])

    def _erase(self, images: Sequence[int], identity: str) -> None:
        if self._parts.pictures is not None:
            self._parts.pictures.erase(images)
        self._parts.connection.delete(self._parts.images, images)
        self._parts.people.forget_if_empty(identity)

    def _move(self, rows: list[Row], line: Line) -> None:
        identity, new = line.detail["identity"], line.detail["new"]
        gone: set[int] = set()
        if rows:
            self._parts.people.keep([new])
            written = [{**row, "identity": new} for row in rows]
            self._parts.connection.upsert(self._parts.images, written, row_size(written))
            gone = self._parts.journal.deleted_among([row["id"] for row in rows], since=line.number)
            self._parts.connection.delete(self._parts.images, sorted(gone))
            self._parts.people.keep([new])
        self._parts.people.forget_if_empty(identity)
        if gone:
            self._parts.people.forget_if_empty(new)

    def _read(self, condition: str) -> list[Row]:
        pages = self._parts.connection.pages(self._parts.images, condition, _ALL, rows=_PAGE, strong=True)
        return [
            {**row, "facts": list(row["facts"]), "vector": list(row["vector"])}
            for page in pages
            for row in page
        ]

    def _hashes_of(self, identity: str) -> set[str]:
        pages = self._parts.connection.pages(
            self._parts.images, one_of("identity", [identity]), ["content_hash"], strong=True
        )
        return {row["content_hash"] for page in pages for row in page}
