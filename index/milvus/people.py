"""The directory of identities, in the order of their names. It follows the images: what has none is not in it.

A name is written before its first image and again after it; whoever removes a last image removes the name, and
then looks once more for images that somebody else enrolled meanwhile. So, of an enrolment and a removal by two
services at the same time, whichever comes last leaves the directory right.
"""

from collections.abc import Iterable

from index import validation
from index.cursor import check_limit, read_cursor, write_cursor
from index.milvus.connection import MOST_ROWS, Connection
from index.milvus.rows import one_of, quoted, starting_with
from index.types import IdentitySummary, Page

_SIZE = 600  # bytes of a row
_MOST = 1000  # identities on a page


class People:
    def __init__(self, connection: Connection, collection: str, images: str) -> None:
        self._connection = connection
        self._collection = collection
        self._images = images

    def keep(self, names: Iterable[str]) -> None:
        rows = [{"identity": name, "vector": [0.0, 0.0]} for name in sorted(set(names))]
        self._connection.upsert(self._collection, rows, _SIZE)

    def forget_if_empty(self, name: str) -> None:
        if self._has_images(name):
            return
        self._connection.delete_where(self._collection, one_of("identity", [name]))
        if self._has_images(name):
            self.keep([name])

    def _has_images(self, name: str) -> bool:
        return bool(self._connection.read(self._images, one_of("identity", [name]), ["id"], 1, strong=True))

    def count(self) -> int:
        return self._connection.count(self._collection)

    def page(self, cursor: str | None, limit: int, prefix: str) -> Page[IdentitySummary]:
        """Sorted by name, in the order of Unicode code points."""
        after = read_cursor("identity", cursor)
        limit = min(check_limit(limit), _MOST)
        if not validation.is_text(prefix):
            return Page((), None)
        conditions = [starting_with("identity", prefix)] if prefix else ['identity >= ""']
        if after is not None:
            conditions.append(f"identity > {quoted(after)}")
        found = self._connection.read(self._collection, " and ".join(conditions), ["identity"], limit + 1)
        names = [row["identity"] for row in found[:limit]]
        more = len(found) > limit
        return Page(self._summaries(names), write_cursor("identity", names[-1]) if more else None)

    def _summaries(self, names: list[str]) -> tuple[IdentitySummary, ...]:
        """Of those that have images: a name may be written a moment before its first image."""
        counts, cameras = dict.fromkeys(names, 0), {name: set[str]() for name in names}
        if names:
            for page in self._connection.pages(
                self._images, one_of("identity", names), ["identity", "camera"], rows=MOST_ROWS
            ):
                for row in page:
                    counts[row["identity"]] += 1
                    cameras[row["identity"]].update(filter(None, [row["camera"]]))
        return tuple(
            IdentitySummary(name, counts[name], tuple(sorted(cameras[name])))
            for name in names
            if counts[name]
        )
