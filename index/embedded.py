"""The embedded gallery: SQLite is the truth, and the vectors in memory are derived from it.

A change is staged as the next View inside its transaction, committed, and only then shown to searches.
If the commit fails, the staged View is dropped and nothing has happened.
"""

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from index import listing, ranking, selection, spaces, store, validation
from index.backup import copy_database
from index.database import Database
from index.errors import GalleryUnavailable, WrongBundle
from index.gallery import NO_FILTERS
from index.memory import Memory
from index.scan import Scanner
from index.types import (
    Added,
    Counts,
    Enrolment,
    Filters,
    IdentitySummary,
    Image,
    ImageRecord,
    Match,
    Page,
    Vectors,
)
from index.view import View

log = logging.getLogger(__name__)


class EmbeddedGallery:
    """See `index.gallery.Gallery`."""

    def __init__(
        self,
        path: Path,
        *,
        bundle_id: str,
        dimension: int,
        keep_images: bool = True,
        threads: int | None = None,
    ) -> None:
        self._keep_images = keep_images
        self._writing = threading.Lock()
        self._database = Database(path)
        try:
            with self._database.transaction() as tx:
                self._space = spaces.claim(tx, bundle_id, dimension)
            self._memory = Memory(self._database, self._space)
            self._view = self._memory.load(threads)
        except BaseException:
            self._database.close()
            raise
        self._scanner = Scanner(threads)

    @property
    def bundle_id(self) -> str:
        return self._space.bundle_id

    @property
    def dimension(self) -> int:
        return self._space.dimension

    def add(
        self, items: Sequence[Enrolment], *, bundle_id: str | None = None, actor: str | None = None
    ) -> list[Added]:
        self._same_bundle(bundle_id)
        for item in items:
            validation.check_enrolment(item)
        vectors = validation.stack(list(items), self.dimension)
        if not items:
            return []
        with self._changing() as change:
            inserted = store.insert(change.tx, self._space.id, items, vectors, self._keep_images)
            for identity, images in _by_identity(inserted.added).items():
                store.record(change.tx, actor, "enrol", identity=identity, images=images)
            generation = store.next_generation(change.tx)
            change.view = change.view.appended(inserted.rows, inserted.names, generation)
        return inserted.added

    def search(
        self,
        vectors: Vectors,
        top_k: int,
        *,
        filters: Filters = NO_FILTERS,
        min_score: float | None = None,
        supports: int = 3,
        bundle_id: str | None = None,
        actor: str | None = None,
    ) -> list[list[Match]]:
        self._same_bundle(bundle_id)
        if top_k < 1 or supports < 1:
            raise ValueError(f"top_k is {top_k} and supports {supports}; expected at least 1")
        probes = validation.check_vectors(vectors, self.dimension)
        view, having_metadata = self._state_for(filters)
        choice = selection.choose(view, filters, having_metadata)
        wanted = ranking.Wanted(top_k, supports, min_score)
        return [ranking.rank(view, self._scanner, probe, choice, wanted) for probe in probes[:, None, :]]

    def remove_identity(self, identity: str, *, actor: str | None = None) -> int:
        with self._changing(deletes=True) as change:
            owner = store.find_identity(change.tx, identity)
            if owner is None:
                return 0
            images = store.images_of(change.tx, owner)
            _delete(change, images, owner)
            named = [str(image) for image in images]
            store.record(change.tx, actor, "delete", identity=identity, images=named)
        return len(images)

    def remove_image(self, identity: str, image_id: str, *, actor: str | None = None) -> bool:
        image = listing.image_row(image_id)
        with self._changing(deletes=True) as change:
            owner = store.find_identity(change.tx, identity)
            images = [] if owner is None else store.images_of(change.tx, owner)
            if owner is None or image not in images:
                return False
            _delete(change, [image], owner if len(images) == 1 else None)
            store.record(change.tx, actor, "delete", identity=identity, images=[image_id])
        return True

    def rename(self, identity: str, new: str, *, actor: str | None = None) -> int:
        validation.check_name("identity", new)
        with self._changing(deletes=True) as change:
            moved = store.rename(change.tx, identity, new)
            change.view = change.view.renamed(moved, new, store.next_generation(change.tx))
            store.record(change.tx, actor, "rename", identity=identity, new=new, images=len(moved.images))
        return len(moved.images)

    @contextlib.contextmanager
    def _changing(self, *, deletes: bool = False) -> Iterator["_Change"]:
        """Commit what the caller does, and show it to searches once it is on the disk."""
        with self._writing:
            with self._database.transaction(frees_room=deletes) as tx:
                change = _Change(tx, self._view)
                yield change
                if change.view is not self._view:
                    self._memory.outdate()
            self._view = change.view
            self._database.settle(deleted=deletes)

    def identities(
        self, cursor: str | None = None, limit: int = 100, prefix: str = ""
    ) -> Page[IdentitySummary]:
        with self._database.reading() as tx:
            return listing.identities(tx, cursor, limit, prefix)

    def images(self, identity: str, cursor: str | None = None, limit: int = 100) -> Page[ImageRecord]:
        with self._database.reading() as tx:
            return listing.images(tx, identity, cursor, limit)

    def image(self, identity: str, image_id: str) -> Image | None:
        with self._database.reading() as tx:
            return listing.image(tx, identity, image_id)

    def count(self) -> Counts:
        with self._database.reading() as tx:
            return listing.count(tx)

    def check(self) -> None:
        """The file that was opened is still in place, readable, and at the state that searches see."""
        self._database.check_in_place()
        with self._writing:
            with self._database.reading() as tx:
                generation = store.generation(tx)
            if generation != self._view.generation:
                raise GalleryUnavailable(
                    f"{self._database.path} was changed by something else: restart to reload it"
                )
        probe = np.zeros((1, self.dimension), np.float32)
        probe[0, 0] = 1
        self.search(probe, 1)

    def backup(self, path: Path) -> None:
        copy_database(self._database.path, path)

    def close(self) -> None:
        with self._writing:
            if not self._database.closed:
                self._memory.save(self._view)
            self._database.close()
            self._scanner.close()

    def _same_bundle(self, bundle_id: str | None) -> None:
        if bundle_id is not None and bundle_id != self.bundle_id:
            raise WrongBundle(f"vectors of bundle {bundle_id}; the gallery holds those of {self.bundle_id}")

    def _state_for(self, filters: Filters) -> tuple[View, NDArray[np.int64] | None]:
        """The view to search, and the images in that same state whose metadata passes."""
        if not filters.metadata:
            return self._view, None
        wanted = [(key, validation.scalar_to_json(value)) for key, value in filters.metadata.items()]
        for _ in range(10):
            view = self._view
            with self._database.reading() as tx:
                images = [np.array(listing.images_with(tx, key, value), np.int64) for key, value in wanted]
                if store.generation(tx) == view.generation:
                    return view, _common(images)
        with self._writing, self._database.reading() as tx:  # writers are too quick for us: hold them up
            images = [np.array(listing.images_with(tx, key, value), np.int64) for key, value in wanted]
            return self._view, _common(images)


@dataclass(slots=True)
class _Change:
    """A transaction, and what searches will see after it."""

    tx: sqlite3.Connection
    view: View


def _delete(change: _Change, images: list[int], emptied: int | None) -> None:
    store.delete_images(change.tx, images)
    if emptied is not None:
        store.delete_identity(change.tx, emptied)
    change.view = change.view.without(images, emptied, store.next_generation(change.tx))


def _by_identity(added: list[Added]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for one in added:
        if not one.duplicate:
            groups.setdefault(one.identity, []).append(one.image_id)
    return groups


def _common(sets: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    result = sets[0]
    for other in sets[1:]:
        result = np.intersect1d(result, other, assume_unique=True)
    return result
