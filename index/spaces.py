"""Search spaces: which bundle's vectors a gallery holds, and how they come into memory."""

import logging
import sqlite3

import numpy as np

from index import schema, store
from index.errors import GalleryUnavailable, WrongBundle
from index.schema import vector_table
from index.segment import SEGMENT_ROWS
from index.store import NO_TIME, Names, Rows
from index.view import Space, View

log = logging.getLogger(__name__)


def claim(tx: sqlite3.Connection, bundle_id: str, dimension: int) -> Space:
    """The active space, which must be of this bundle. An empty gallery takes any."""
    row = tx.execute("SELECT id, bundle_id, dimension FROM spaces WHERE state = 'active'").fetchone()
    if row is not None and (row[1], row[2]) == (bundle_id, dimension):
        return Space(*row)
    if row is not None:
        images = tx.execute(f"SELECT count(*) FROM {vector_table(row[0])}").fetchone()[0]
        if images:
            raise WrongBundle(
                f"the gallery holds {images} vectors of bundle {row[1]} ({row[2]} dimensions); asked for"
                f" bundle {bundle_id} ({dimension} dimensions): re-embed it, or go on with its own bundle",
                held=(row[1], row[2]),
            )
        for (space,) in tx.execute("SELECT id FROM spaces").fetchall():
            drop(tx, space)
        log.info("the empty gallery changes from bundle %s to %s", row[1], bundle_id)
    return Space(schema.create_space(tx, bundle_id, dimension, "active"), bundle_id, dimension)


def active(tx: sqlite3.Connection) -> Space:
    return Space(*tx.execute("SELECT id, bundle_id, dimension FROM spaces WHERE state = 'active'").fetchone())


def of_state(tx: sqlite3.Connection, state: str) -> Space | None:
    """`active`, `building` or `retired`; there is at most one of each."""
    row = tx.execute("SELECT id, bundle_id, dimension FROM spaces WHERE state = ?", (state,)).fetchone()
    return None if row is None else Space(*row)


def set_state(tx: sqlite3.Connection, space: Space, state: str) -> None:
    tx.execute("UPDATE spaces SET state = ? WHERE id = ?", (state, space.id))


def drop(tx: sqlite3.Connection, space: int) -> None:
    tx.execute(f"DROP TABLE {vector_table(space)}")
    tx.execute("DELETE FROM spaces WHERE id = ?", (space,))


def load(tx: sqlite3.Connection, space: Space) -> View:
    """Read every vector of the space."""
    view = View.empty(space)
    cursor = tx.execute(
        "SELECT v.image, i.identity, ifnull(i.camera, 0), ifnull(i.captured_at, ?), i.flagged, v.vector"
        f" FROM {vector_table(space.id)} v JOIN images i ON i.id = v.image ORDER BY v.image",
        (NO_TIME,),
    )
    generation = store.generation(tx)
    while block := cursor.fetchmany(SEGMENT_ROWS):
        view = view.appended(_rows(block, space.dimension), Names(), generation)
    return named(tx, view)


def named(tx: sqlite3.Connection, view: View) -> View:
    """With the names of all identities and cameras, and the generation of the store."""
    names = Names(
        dict(tx.execute("SELECT id, name FROM identities").fetchall()),
        dict(tx.execute("SELECT id, name FROM cameras").fetchall()),
    )
    return view.appended(_rows([], view.space.dimension), names, store.generation(tx))


def _rows(block: list[tuple[int, int, int, int, int, bytes]], dimension: int) -> Rows:
    if not block:
        none = np.empty(0, np.int64)
        return Rows(none, none, none, none, none.astype(np.bool_), np.empty((0, dimension), np.float16))
    ids, identities, cameras, times, flagged, vectors = zip(*block, strict=True)
    size = 2 * dimension
    if any(len(vector) != size for vector in vectors):
        damaged = next(image for image, vector in zip(ids, vectors, strict=True) if len(vector) != size)
        raise GalleryUnavailable(
            f"the vector of image {damaged} is damaged: it does not have {dimension} values"
        )
    return Rows(
        np.array(ids, np.int64),
        np.array(identities, np.int64),
        np.array(cameras, np.int64),
        np.array(times, np.int64),
        np.array(flagged, np.bool_),
        np.frombuffer(b"".join(vectors), np.float16).reshape(-1, dimension),
    )
