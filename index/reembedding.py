"""Moving a gallery to another bundle while it serves: new vectors in a shadow space, then one switch.

The job lives in the store: it survives a restart, and whoever runs it takes up where it stopped. The space that was
searched before the switch is kept as it was, so that the switch can be taken back, until it is discarded.
"""

import sqlite3
from collections.abc import Iterator, Sequence

import numpy as np

from index import audit, schema, spaces, store, validation
from index.core import Core
from index.cursor import check_limit, read_number, write_cursor
from index.errors import GalleryError, IncompleteReembedding, ReembeddingUnderWay
from index.schema import vector_table
from index.types import Image, Missing, Page, Pending, Progress, Vectors
from index.view import Space

_AT_ONCE = 5000


class Reembedding:
    """The job that fills the shadow space. One thread runs it; any may ask for its progress."""

    def __init__(self, core: Core, space: Space) -> None:
        self._core = core
        self._space = space
        self._after = 0

    @property
    def bundle_id(self) -> str:
        return self._space.bundle_id

    @property
    def dimension(self) -> int:
        return self._space.dimension

    def progress(self) -> Progress:
        with self._core.database.reading() as tx:
            return _progress(tx, self._space)

    def pending(self, limit: int = 32) -> list[Pending]:
        """The next images to embed, with their pictures; empty when none is left. Those that were given out and not
        stored come again in the end."""
        with self._core.database.reading() as tx:
            found = _pending(tx, self._space, self._after, limit)
            if not found and self._after:
                found = _pending(tx, self._space, 0, limit)
        self._after = int(found[-1].image_id) if found else 0
        return found

    def store(self, embedded: Sequence[tuple[str, Vectors]]) -> None:
        """Image ids with their new vectors (dimension,). Images that were deleted meanwhile are passed over."""
        if not embedded:
            return
        rows = validation.check_vectors(np.stack([vector for _, vector in embedded]), self.dimension)
        values = [
            (int(image_id), half.tobytes())
            for (image_id, _), half in zip(embedded, rows.astype(np.float16), strict=True)
        ]
        query = (
            f"INSERT OR REPLACE INTO {vector_table(self._space.id)} (image, vector)"
            " SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM images WHERE id = ?1)"
        )
        with self._core.writing:
            self._core.database.refuse_full()
            with self._core.database.transaction() as tx:
                self._still_building(tx)
                tx.executemany(query, values)

    def skip(self, image_id: str, reason: str) -> None:
        """This picture cannot be embedded: it is listed among the missing, and not given out again."""
        query = (
            "INSERT OR REPLACE INTO skipped SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM images WHERE id = ?1)"
        )
        with self._core.writing, self._core.database.transaction() as tx:
            self._still_building(tx)
            tx.execute(query, (int(image_id), reason))

    def missing(self, cursor: str | None = None, limit: int = 100) -> Page[Missing]:
        """What must be enrolled again, as there is no picture, or one that cannot be embedded."""
        start = read_number("missing", cursor)
        with self._core.database.reading() as tx:
            rows = tx.execute(_missing(self._space), (start, check_limit(limit) + 1)).fetchall()
        items = tuple(Missing(str(row[0]), *row[1:]) for row in rows[:limit])
        return Page(items, write_cursor("missing", items[-1].image_id) if len(rows) > limit else None)

    def switch(self, *, forget_missing: bool = False, actor: str | None = None) -> None:
        """From here on the new bundle's vectors are searched. Raises IncompleteReembedding while images have none.

        `forget_missing`: images that cannot be embedded are deleted.
        """
        with self._core.changing(deletes=forget_missing) as change:
            self._still_building(change.tx)
            progress = _progress(change.tx, self._space)
            if progress.pending or (progress.missing and not forget_missing):
                raise IncompleteReembedding(
                    f"{progress.pending} images are not embedded yet, and {progress.missing} cannot be"
                )
            if progress.missing:
                _forget_missing(change.tx, self._space, actor)
            before, table = change.view.space, spaces.of_state(change.tx, "retired")
            if table is not None:
                spaces.set_state(change.tx, table, "dropping")
            spaces.set_state(change.tx, before, "retired")
            spaces.set_state(change.tx, self._space, "active")
            change.tx.execute("DELETE FROM skipped")
            audit.record(change.tx, actor, "switch", old=before.bundle_id, new=self.bundle_id)
            store.next_generation(change.tx)
            change.view = spaces.load(change.tx, self._space)

    def roll_back(self, *, actor: str | None = None) -> None:
        """Give the job up; nothing of it remains."""
        with self._core.writing, self._core.database.transaction() as tx:
            self._still_building(tx)
            spaces.set_state(tx, self._space, "dropping")
            tx.execute("DELETE FROM skipped")
            audit.record(tx, actor, "give up re-embedding", bundle=self.bundle_id)

    def _still_building(self, tx: sqlite3.Connection) -> None:
        if spaces.of_state(tx, "building") != self._space:
            raise GalleryError(f"the re-embedding to bundle {self.bundle_id} has ended")


def begin(core: Core, bundle_id: str, dimension: int, actor: str | None) -> Reembedding:
    """Start the job, or take up the one that is under way. Raises ReembeddingUnderWay when that is another's."""
    with core.writing, core.database.transaction() as tx:
        if (core.view.space.bundle_id, core.view.space.dimension) == (bundle_id, dimension):
            raise GalleryError(f"the gallery holds vectors of bundle {bundle_id} already")
        space = spaces.of_state(tx, "building")
        retired = spaces.of_state(tx, "retired")
        if space is None and retired and (retired.bundle_id, retired.dimension) == (bundle_id, dimension):
            space = retired  # most of its vectors are there
            spaces.set_state(tx, space, "building")
            audit.record(tx, actor, "begin re-embedding", bundle=bundle_id)
        elif space is None:
            space = Space(schema.create_space(tx, bundle_id, dimension, "building"), bundle_id, dimension)
            audit.record(tx, actor, "begin re-embedding", bundle=bundle_id)
        elif (space.bundle_id, space.dimension) != (bundle_id, dimension):
            raise ReembeddingUnderWay(f"a re-embedding to bundle {space.bundle_id} is under way")
    return Reembedding(core, space)


def under_way(core: Core) -> Reembedding | None:
    with core.database.reading() as tx:
        space = spaces.of_state(tx, "building")
    return None if space is None else Reembedding(core, space)


def switch_back(core: Core, actor: str | None) -> None:
    """To the bundle before the last switch. What was enrolled since must be embedded with it first (`begin`)."""
    with core.changing() as change:
        space = spaces.of_state(change.tx, "retired")
        if space is None:
            raise GalleryError("there is no earlier bundle's space to go back to")
        progress = _progress(change.tx, space)
        if progress.embedded < progress.images:
            raise IncompleteReembedding(
                f"{progress.images - progress.embedded} images were enrolled since the switch"
                f" and have no vector of bundle {space.bundle_id}: re-embed to it instead"
            )
        before = change.view.space
        spaces.set_state(change.tx, before, "dropping")
        spaces.set_state(change.tx, space, "active")
        spaces.set_state(change.tx, before, "retired")
        audit.record(change.tx, actor, "switch back", old=before.bundle_id, new=space.bundle_id)
        store.next_generation(change.tx)
        change.view = spaces.load(change.tx, space)


def discard_retired(core: Core, actor: str | None) -> None:
    """Erase the vectors from before the last switch."""
    with core.writing, core.database.transaction() as tx:
        space = spaces.of_state(tx, "retired")
        if space is not None:
            spaces.set_state(tx, space, "dropping")
            audit.record(tx, actor, "discard", bundle=space.bundle_id)


def erase_some(core: Core) -> None:
    """A piece of what is to be dropped: overwriting it all at once would fill the write-ahead log."""
    with core.writing:
        with core.database.transaction(frees_room=True) as tx:
            row = tx.execute("SELECT id FROM spaces WHERE state = 'dropping' LIMIT 1").fetchone()
            if row is None:
                return
            table = vector_table(row[0])
            erased = tx.execute(
                f"DELETE FROM {table} WHERE image IN (SELECT image FROM {table} LIMIT {_AT_ONCE})"
            ).rowcount
            if not erased:
                spaces.drop(tx, row[0])
        core.database.settle(deleted=True)


# Each of these looks for the vector first: most images have one, and a look for the picture reads a page of its own.
def _missing(space: Space) -> str:
    return (
        "SELECT i.id, n.name, i.filename, ifnull(k.reason, 'the picture was not kept') FROM images i"
        " JOIN identities n ON n.id = i.identity LEFT JOIN pictures p ON p.image = i.id"
        " LEFT JOIN skipped k ON k.image = i.id"
        f" WHERE i.id NOT IN (SELECT image FROM {vector_table(space.id)})"
        " AND (p.image IS NULL OR k.image IS NOT NULL) AND i.id > ? ORDER BY i.id LIMIT ?"
    )


def _progress(tx: sqlite3.Connection, space: Space) -> Progress:
    query = (
        "SELECT count(*), count(v.image), count(*) FILTER (WHERE v.image IS NULL"
        " AND (i.id IN (SELECT image FROM skipped) OR i.id NOT IN (SELECT image FROM pictures)))"
        f" FROM images i LEFT JOIN {vector_table(space.id)} v ON v.image = i.id"
    )
    images, embedded, missing = tx.execute(query).fetchone()
    return Progress(space.bundle_id, images, embedded, missing)


def _pending(tx: sqlite3.Connection, space: Space, after: int, limit: int) -> list[Pending]:
    query = (
        "SELECT i.id, n.name, p.media_type, p.data FROM images i JOIN identities n ON n.id = i.identity"
        f" JOIN pictures p ON p.image = i.id WHERE i.id NOT IN (SELECT image FROM {vector_table(space.id)})"
        " AND i.id NOT IN (SELECT image FROM skipped) AND i.id > ? ORDER BY i.id LIMIT ?"
    )
    rows: Iterator[tuple[int, str, str, bytes]] = tx.execute(query, (after, limit))
    return [Pending(str(image), name, Image(data, media_type)) for image, name, media_type, data in rows]


def _forget_missing(tx: sqlite3.Connection, space: Space, actor: str | None) -> None:
    table = vector_table(space.id)
    query = f"SELECT id FROM images WHERE id NOT IN (SELECT image FROM {table})"
    images = [int(row[0]) for row in tx.execute(query)]
    store.delete_images(tx, images)
    tx.execute("DELETE FROM identities WHERE id NOT IN (SELECT identity FROM images)")
    audit.record(tx, actor, "forget", images=[str(image) for image in images])
