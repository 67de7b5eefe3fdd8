"""The embedded gallery's two halves, kept in step: the store on the disk, and the view that searches use.

A change is staged as the next View inside its transaction, committed, and only then shown to searches. If the
commit fails, the staged View is dropped and nothing has happened.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index import listing, spaces, store, validation
from index.database import Database
from index.errors import GalleryUnavailable, WrongBundle
from index.memory import Memory
from index.types import Scalar
from index.view import View


@dataclass(slots=True)
class Change:
    """A transaction, and what searches will see after it."""

    tx: sqlite3.Connection
    view: View

    def delete(self, images: list[int], owner: int, *, emptied: bool) -> None:
        store.delete_images(self.tx, images)
        if emptied:
            store.delete_identity(self.tx, owner)
        generation = store.next_generation(self.tx)
        self.view = self.view.without(images, owner if emptied else None, generation)


class Core:
    def __init__(self, path: Path, bundle_id: str, dimension: int, threads: int) -> None:
        self.database = Database(path)
        self.writing = threading.Lock()
        self._opened_with = bundle_id
        try:
            with self.database.transaction() as tx:
                space = spaces.claim(tx, bundle_id, dimension)
            self._memory = Memory(self.database, threads)
            self.view = self._memory.load(space)
        except BaseException:
            self.database.close()
            raise

    @contextlib.contextmanager
    def changing(self, *, deletes: bool = False) -> Iterator[Change]:
        """Commit what the caller does, and show it to searches once it is on the disk."""
        with self.writing:
            if not deletes:
                self.database.refuse_full()
            with self.database.transaction(frees_room=deletes) as tx:
                change = Change(tx, self.view)
                yield change
                if change.view is not self.view:
                    self._memory.outdate()  # before the commit: never a deletion that a snapshot has not lost
            self.view = change.view
            self.database.settle(deleted=deletes)

    def check_bundle(self, bundle_id: str | None, view: View) -> None:
        """Vectors of `bundle_id` may be compared with those of `view`. None: of the bundle it was opened with."""
        given = bundle_id or self._opened_with
        if given != view.space.bundle_id:
            raise WrongBundle(f"vectors of bundle {given}; the gallery holds those of {view.space.bundle_id}")

    def state_with(self, metadata: list[tuple[str, Scalar]]) -> tuple[View, NDArray[np.int64]]:
        """The view to search, and the images in that same state that have all of this metadata."""
        for _ in range(10):
            view = self.view
            with self.database.reading() as tx:
                images = _images_with(tx, metadata)
                if store.generation(tx) == view.generation:
                    return view, images
        with self.writing, self.database.reading() as tx:  # writers are too quick for us: hold them up
            return self.view, _images_with(tx, metadata)

    def check(self) -> None:
        """The file that was opened is still in place, readable, and at the state that searches see."""
        self.database.check_in_place()
        with self.writing, self.database.reading() as tx:
            generation = store.generation(tx)
        if generation != self.view.generation:
            raise GalleryUnavailable(
                f"{self.database.path} was changed by something else: restart to reload it"
            )

    def close(self) -> None:
        with self.writing:
            if not self.database.closed:
                self._memory.save(self.view)
            self.database.close()


def _images_with(tx: sqlite3.Connection, metadata: list[tuple[str, Scalar]]) -> NDArray[np.int64]:
    result: NDArray[np.int64] | None = None
    for key, value in metadata:
        images = np.array(listing.images_with(tx, key, validation.scalar_to_json(value)), np.int64)
        result = images if result is None else np.intersect1d(result, images, assume_unique=True)
    return np.empty(0, np.int64) if result is None else result
