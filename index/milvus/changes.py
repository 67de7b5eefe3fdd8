"""Deletions and renames: each is written into the journal before it is made, and can be done twice without harm.

A rename writes rows anew, and a row that somebody else deletes at the same moment would come back by it. Deletions
therefore write their line before they delete, and a rename looks for such lines after it has written. Either the
deletion finds the row that the rename wrote, or the rename finds the line of the deletion.
"""

from collections.abc import Sequence

from index.errors import UnknownIdentity
from index.milvus.connection import Connection, Row
from index.milvus.journal import DELETIONS, Journal, Line
from index.milvus.layout import Collections
from index.milvus.marks import OPEN
from index.milvus.people import People
from index.milvus.pictures import Pictures
from index.milvus.rows import RECORD, one_of, row_size

_ALL = (*RECORD, "facts", "vector")
_PAGE = 2000


class Changes:
    def __init__(
        self,
        connection: Connection,
        names: Collections,
        journal: Journal,
        people: People,
        pictures: Pictures | None,
    ) -> None:
        self._connection = connection
        self._images = names.images
        self._journal = journal
        self._people = people
        self._pictures = pictures

    def erase(self, images: Sequence[int], identity: str, action: str, actor: str | None) -> None:
        """Acknowledged deletions are final: line, vectors and pictures are dealt with when it returns."""
        if not images:
            return
        lines = self._journal.compose(actor, action, images, identity=identity)
        self._journal.write(lines, OPEN)
        self._erase(images, identity)
        self._journal.write(lines)

    def move(self, identity: str, new: str, actor: str | None) -> int:
        found = self._read(one_of("identity", [identity]))
        if not found:
            raise UnknownIdentity(f"no identity {identity!r}")
        if identity == new:
            return len(found)
        there = self._hashes_of(new)
        moved = [row for row in found if row["content_hash"] not in there]
        images = [row["id"] for row in moved]
        lines = self._journal.compose(actor, "rename", images, identity=identity, new=new)
        self._journal.write(lines, OPEN)
        self.erase([row["id"] for row in found if row["content_hash"] in there], identity, "drop", actor)
        self._move(moved, lines[0])
        self._journal.write(lines)
        return len(moved)

    def finish(self, line: Line) -> None:
        """Do the rest of a change that was cut short."""
        if line.action in DELETIONS:
            self._erase(line.images, line.detail["identity"])
        elif line.action == "rename" and line.images:
            own = f"id in {list(line.images)} and {one_of('identity', [line.detail['identity']])}"
            self._move(self._read(own), line)
        self._journal.write([line])

    def _erase(self, images: Sequence[int], identity: str) -> None:
        if self._pictures is not None:
            self._pictures.erase(images)
        self._connection.delete(self._images, images)
        self._people.forget_if_empty(identity)

    def _move(self, rows: list[Row], line: Line) -> None:
        identity, new = line.detail["identity"], line.detail["new"]
        gone: set[int] = set()
        if rows:
            self._people.keep([new])
            written = [{**row, "identity": new} for row in rows]
            self._connection.upsert(self._images, written, row_size(written))
            gone = self._journal.deleted_among([row["id"] for row in rows], since=line.number)
            self._connection.delete(self._images, sorted(gone))
            self._people.keep([new])
        self._people.forget_if_empty(identity)
        if gone:
            self._people.forget_if_empty(new)

    def _read(self, condition: str) -> list[Row]:
        pages = self._connection.pages(self._images, condition, _ALL, rows=_PAGE, strong=True)
        return [
            {**row, "facts": list(row["facts"]), "vector": list(row["vector"])}
            for page in pages
            for row in page
        ]

    def _hashes_of(self, identity: str) -> set[str]:
        pages = self._connection.pages(
            self._images, one_of("identity", [identity]), ["content_hash"], strong=True
        )
        return {row["content_hash"] for page in pages for row in page}
