"""The embedded gallery: SQLite is the truth, and the vectors in memory are derived from it."""

import contextlib
import os
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np

from index import audit, listing, reembedding, selection, store, validation
from index.accelerated import AcceleratedScanner
from index.audit import SearchCounts
from index.backup import back_up
from index.core import Core
from index.errors import GalleryError
from index.gallery import NO_FILTERS
from index.maintenance import Maintenance
from index.ranking import Wanted, rank, rank_again
from index.reembedding import Reembedding
from index.scan import Scanner
from index.source import ViewSource
from index.types import (
    Acceleration,
    Added,
    AuditLine,
    Counts,
    Enrolment,
    Filters,
    IdentitySummary,
    Image,
    ImageRecord,
    Match,
    Page,
    SearchMethod,
    Vectors,
)

_EXPIRED_AT_ONCE = 1000
_MICROSECOND = timedelta(microseconds=1)


class EmbeddedGallery:
    """See `index.gallery.Gallery`."""

    def __init__(
        self,
        path: Path,
        *,
        bundle_id: str,
        dimension: int,
        keep_images: bool = True,
        retention: timedelta | None = None,
        threads: int | None = None,
        search: SearchMethod = "exact",
    ) -> None:
        threads = threads or len(os.sched_getaffinity(0))
        self._keep_images = keep_images
        self._retention = retention
        self._searches = SearchCounts()
        self._scanner = Scanner(threads) if search == "exact" else AcceleratedScanner(threads, search)
        self._core = Core(path, bundle_id, dimension, threads)
        try:
            self.expire()
            self._refresh()
        except BaseException:
            self._core.close()
            self._scanner.close()
            raise
        self._maintenance = Maintenance(
            [self.expire, self._log_searches, self._erase_some, self._give_room_back, self._refresh]
        )

    @property
    def bundle_id(self) -> str:
        return self._core.view.space.bundle_id

    @property
    def dimension(self) -> int:
        return self._core.view.space.dimension

    def add(
        self, items: Sequence[Enrolment], *, bundle_id: str | None = None, actor: str | None = None
    ) -> list[Added]:
        for item in items:
            validation.check_enrolment(item)
        self._core.check_bundle(bundle_id, self._core.view)
        vectors = validation.stack(list(items), self.dimension)
        if not items:
            return []
        with self._core.changing() as change:
            self._core.check_bundle(bundle_id, change.view)  # again: it may have been switched meanwhile
            inserted = store.insert(change.tx, change.view.space.id, items, vectors, self._keep_images)
            for identity, images in _by_identity(inserted.added).items():
                audit.record(change.tx, actor, "enrol", identity=identity, images=images)
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
        rerank: bool = False,
        bundle_id: str | None = None,
        actor: str | None = None,
    ) -> list[list[Match]]:
        if top_k < 1 or supports < 1:
            raise ValueError(f"top_k is {top_k} and supports {supports}; expected at least 1")
        self._core.database.refuse_closed()
        view, having_metadata = self._core.view, None
        if filters.metadata:
            view, having_metadata = self._core.state_with(list(filters.metadata.items()))
        self._core.check_bundle(bundle_id, view)
        probes = validation.check_vectors(vectors, view.space.dimension)
        self._searches.add(actor, len(probes))
        source = ViewSource(view, self._scanner, selection.choose(view, filters, having_metadata))
        wanted = Wanted(top_k, supports, min_score)
        return rank_again(source, probes, wanted) if rerank else rank(source, probes, wanted)

    def remove_identity(self, identity: str, *, actor: str | None = None) -> int:
        with self._core.changing(deletes=True) as change:
            owner = store.find_identity(change.tx, identity)
            if owner is None:
                return 0
            images = store.images_of(change.tx, owner)
            change.delete(images, owner, emptied=True)
            audit.record(change.tx, actor, "delete", identity=identity, images=_ids(images))
        return len(images)

    def remove_image(self, identity: str, image_id: str, *, actor: str | None = None) -> bool:
        image = listing.image_row(image_id)
        with self._core.changing(deletes=True) as change:
            owner = store.find_identity(change.tx, identity)
            images = [] if owner is None else store.images_of(change.tx, owner)
            if owner is None or image not in images:
                return False
            change.delete([image], owner, emptied=len(images) == 1)
            audit.record(change.tx, actor, "delete", identity=identity, images=[image_id])
        return True

    def rename(self, identity: str, new: str, *, actor: str | None = None) -> int:
        validation.check_name("identity", new)
        with self._core.changing(deletes=True) as change:
            moved = store.rename(change.tx, identity, new)
            change.view = change.view.renamed(moved, new, store.next_generation(change.tx))
            audit.record(change.tx, actor, "rename", identity=identity, new=new, images=len(moved.images))
        return len(moved.images)

    def expire(self) -> int:
        """Delete what is older than the retention time; the number of images."""
        if self._retention is None:
            return 0
        total = 0
        while images := self._expire_some(time.time_ns() // 1000 - self._retention // _MICROSECOND):
            total += images
        return total

    def _expire_some(self, before: int) -> int:
        with self._core.changing(deletes=True) as change:
            groups = store.expired(change.tx, before, _EXPIRED_AT_ONCE)
            for owner, images in groups.items():
                identity = store.name_of(change.tx, owner)
                change.delete(images, owner, emptied=len(images) == len(store.images_of(change.tx, owner)))
                audit.record(change.tx, None, "expire", identity=identity, images=_ids(images))
        return sum(len(images) for images in groups.values())

    def _log_searches(self) -> None:
        if not (counts := self._searches.take()):
            return
        try:
            with self._core.writing, self._core.database.transaction() as tx:
                audit.record_searches(tx, counts)
        except GalleryError:
            self._searches.put_back(counts)
            raise

    def _erase_some(self) -> None:
        reembedding.erase_some(self._core)

    def _give_room_back(self) -> None:
        with self._core.writing:
            self._core.database.settle(deleted=False)  # what a backup was in the way of
            self._core.database.give_room_back()

    def identities(
        self, cursor: str | None = None, limit: int = 100, prefix: str = ""
    ) -> Page[IdentitySummary]:
        with self._core.database.reading() as tx:
            return listing.identities(tx, cursor, limit, prefix)

    def images(self, identity: str, cursor: str | None = None, limit: int = 100) -> Page[ImageRecord]:
        with self._core.database.reading() as tx:
            return listing.images(tx, identity, cursor, limit)

    def image(self, identity: str, image_id: str) -> Image | None:
        with self._core.database.reading() as tx:
            return listing.image(tx, identity, image_id)

    def audit(self, cursor: str | None = None, limit: int = 100) -> Page[AuditLine]:
        with self._core.database.reading() as tx:
            return audit.lines(tx, cursor, limit)

    def count(self) -> Counts:
        with self._core.database.reading() as tx:
            return listing.count(tx)

    @property
    def acceleration(self) -> Acceleration | None:
        return self._scanner.acceleration if isinstance(self._scanner, AcceleratedScanner) else None

    def _refresh(self) -> None:
        if isinstance(self._scanner, AcceleratedScanner):
            self._scanner.refresh(self._core.view)

    def check(self) -> None:
        self._core.check()
        probe = np.zeros((1, self.dimension), np.float32)
        probe[0, 0] = 1
        view = self._core.view
        rank(
            ViewSource(view, self._scanner, selection.choose(view, NO_FILTERS, None)),
            probe,
            Wanted(1, 1, None),
        )

    def backup(self, path: Path, extra: Mapping[str, Path] | None = None) -> Counts:
        manifest = back_up(self._core.database.path, path, extra)
        return Counts(manifest.identities, manifest.images)

    def reembed(self, bundle_id: str, dimension: int, *, actor: str | None = None) -> Reembedding:
        return reembedding.begin(self._core, bundle_id, dimension, actor)

    def reembedding(self) -> Reembedding | None:
        return reembedding.under_way(self._core)

    def switch_back(self, *, actor: str | None = None) -> None:
        reembedding.switch_back(self._core, actor)

    def discard_retired(self, *, actor: str | None = None) -> None:
        reembedding.discard_retired(self._core, actor)

    def close(self) -> None:
        if self._core.database.closed:
            return
        self._maintenance.stop()
        with contextlib.suppress(GalleryError):
            self._log_searches()
        self._core.close()
        self._scanner.close()


def _ids(images: Sequence[int]) -> list[str]:
    return [str(image) for image in images]


def _by_identity(added: list[Added]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for one in added:
        if not one.duplicate:
            groups.setdefault(one.identity, []).append(one.image_id)
    return groups
