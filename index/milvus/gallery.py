"""The distributed gallery: everything is in Milvus, and any number of services may open it.

What is guaranteed, and what is not:

- An acknowledged change is in Milvus's log before the call returns; how well that log survives power loss is Milvus's
  (a cluster's replicated log does; the log of a standalone server survives `kill -9` of it).
- What a service changed, its own next call sees. Others see it some tenths of a second later, 5 s at most.
- Milvus has no transactions. An `add` of up to 4 MB of rows (some 1,500 images of 512 values) is stored and seen as a
  whole (with one shard); a greater one, when the service dies in the middle, in part. It was not acknowledged then,
  and making it again completes it. The audit log may tell of an enrolment that was never acknowledged.
- A deletion or a rename that was cut short is finished by whichever service sees it first, after about a minute while
  one runs. Until then an image is under its old name or its new one, never under both.
- A deleted image does not come back, also when it is renamed at the same moment by another service.
- Two services that enrol the same picture for the same person before one sees the other's change may both store it.
- A search reads twice: if another service deletes or renames meanwhile, it is made again.

Pictures: see `index.milvus.pictures`. Not offered: re-embedding (bring it to an embedded gallery and back).
"""

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np

from index import validation
from index.audit import SearchCounts
from index.cursor import check_limit, read_number, write_cursor
from index.errors import GalleryError, NotOffered, UnknownIdentity, UnknownImage, WrongBundle
from index.gallery import NO_FILTERS
from index.listing import image_row
from index.maintenance import Maintenance
from index.migrate import back_up_distributed
from index.milvus import layout, rows
from index.milvus.address import parse
from index.milvus.changes import Changes
from index.milvus.connection import Connection, Row
from index.milvus.enrolling import Enrolling
from index.milvus.parts import Parts
from index.milvus.pictures import Pictures
from index.milvus.recall import measured, method_of
from index.milvus.source import MilvusSource
from index.milvus.stripes import Stripes
from index.ranking import Wanted, rank, rank_again
from index.reembedding import Reembedding
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

log = logging.getLogger(__name__)
UNFINISHED_S = 60.0  # a change that is open for longer belongs to a service that died
_EXPIRED_AT_ONCE = 1000
_ATTEMPTS = 3
_MOST_LISTED = 10_000
_MICROSECOND = timedelta(microseconds=1)


class MilvusGallery:
    """See `index.gallery.Gallery`."""

    def __init__(
        self,
        uri: str,
        *,
        bundle_id: str,
        dimension: int,
        keep_images: bool = True,
        retention: timedelta | None = None,
        search: SearchMethod = "exact",
    ) -> None:
        self._uri, address = uri, parse(uri)
        if search not in layout.INDEXES:
            raise NotOffered(
                f"a gallery on Milvus has no search {search!r}: choose {', '.join(layout.INDEXES)}"
            )
        self.bundle_id = bundle_id
        self.dimension = dimension
        self._retention = retention
        self._searches = SearchCounts()
        self._stripes = Stripes()
        pictures = Pictures(address.pictures) if keep_images and address.pictures else None
        if keep_images and pictures is None:
            log.warning(
                "%s: pictures are not kept: name a folder for them with ?pictures=, or set keep_images to false",
                address,
            )
        self._connection = Connection(address)
        try:
            names = layout.claim(self._connection, address, layout.Space(bundle_id, dimension), search)
            self._parts = Parts.of(self._connection, names, pictures)
            self._images, self._journal = names.images, self._parts.journal
            self._enrolling, self._changes = Enrolling(self._parts), Changes(self._parts)
            self.expire()
            made, asked = method_of(self._connection, self._images), address.index or search
            if made != asked:
                log.warning(
                    "%s was made to be searched by %r, and is; %r has no effect on it: migrate it (dgrl migrate) to"
                    " a new gallery that is made so",
                    address, made, asked,
                )  # fmt: skip
            self._acceleration = measured(self._connection, self._images)
        except BaseException:
            self._connection.close()
            raise
        self._maintenance = Maintenance([self.expire, self._log_searches, self.finish_changes])

    def add(
        self, items: Sequence[Enrolment], *, bundle_id: str | None = None, actor: str | None = None
    ) -> list[Added]:
        for item in items:
            validation.check_enrolment(item)
        self._check_bundle(bundle_id)
        vectors = validation.stack(list(items), self.dimension)
        if not items:
            return []
        with self._stripes.changing(item.identity for item in items):
            return self._enrolling.add(items, vectors, actor)

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
        self._check_bundle(bundle_id)
        probes = validation.check_vectors(vectors, self.dimension)
        expression = rows.expression(filters)
        self._searches.add(actor, len(probes))
        wanted = Wanted(top_k, supports, min_score)
        found: list[list[Match]] = []
        for _ in range(_ATTEMPTS):
            source = MilvusSource(self._connection, self._images, self.dimension, expression)
            found = rank_again(source, probes, wanted) if rerank else rank(source, probes, wanted)
            if not source.moved:
                break
        return found

    def remove_identity(self, identity: str, *, actor: str | None = None) -> int:
        if not validation.is_text(identity):
            return 0
        with self._stripes.changing([identity]):
            own = rows.one_of("identity", [identity])
            pages = self._connection.pages(self._images, own, [], strong=True)
            images = [row["id"] for page in pages for row in page]
            self._changes.erase(images, identity, "delete", actor)
        return len(images)

    def remove_image(self, identity: str, image_id: str, *, actor: str | None = None) -> bool:
        with self._stripes.changing([identity]):
            row = self._find(identity, image_id, strong=True)
            if row is not None:
                self._changes.erase([row["id"]], identity, "delete", actor)
        return row is not None

    def rename(self, identity: str, new: str, *, actor: str | None = None) -> int:
        validation.check_name("identity", new)
        with self._stripes.changing([identity, new]):
            return self._changes.move(identity, new, actor)

    def expire(self) -> int:
        """Delete what is older than the retention time; the number of images."""
        if self._retention is None:
            return 0
        before, total = time.time_ns() // 1000 - self._retention // _MICROSECOND, 0
        while images := self._connection.read(
            self._images, f"enrolled_at < {before}", ["id", "identity"], _EXPIRED_AT_ONCE, strong=True
        ):
            for identity in dict.fromkeys(row["identity"] for row in images):
                with self._stripes.changing([identity]):
                    own = [row["id"] for row in images if row["identity"] == identity]
                    self._changes.erase(own, identity, "expire", None)
            total += len(images)
        return total

    def finish_changes(self, older_than_s: float = UNFINISHED_S) -> int:
        """Finish what some service began and left; the number of changes."""
        finished = 0
        for line in self._journal.left_open(older_than_s):
            with self._stripes.changing([line.detail["identity"], line.detail.get("new", "")]):
                if not self._journal.is_open(line):  # its service was slow, and not dead
                    continue
                self._changes.finish(line)
            finished += 1
            log.warning(
                "%s of %d images, begun by a service that died, is finished", line.action, len(line.images)
            )
        return finished

    def _log_searches(self) -> None:
        if not (counts := self._searches.take()):
            return
        try:
            lines = [
                line
                for actor, count in counts.items()
                for line in self._journal.compose(
                    actor, "search", searches=count.searches, probes=count.probes
                )
            ]
            self._journal.write(lines)
        except GalleryError:
            self._searches.put_back(counts)
            raise

    def identities(
        self, cursor: str | None = None, limit: int = 100, prefix: str = ""
    ) -> Page[IdentitySummary]:
        return self._parts.people.page(cursor, limit, prefix)

    def images(self, identity: str, cursor: str | None = None, limit: int = 100) -> Page[ImageRecord]:
        start, limit = read_number("image", cursor), min(check_limit(limit), _MOST_LISTED)
        own = rows.one_of("identity", [identity])
        found = self._connection.read(self._images, f"{own} and id > {start}", rows.RECORD, limit + 1)
        if not found:
            self._known(identity)
        items = tuple(rows.to_record(row) for row in found[:limit])
        return Page(items, write_cursor("image", items[-1].image_id) if len(found) > limit else None)

    def image(self, identity: str, image_id: str) -> Image | None:
        row = self._find(identity, image_id)
        if row is None:
            self._known(identity)
            raise UnknownImage(f"{identity!r} has no image {image_id!r}")
        media_type = rows.to_record(row).media_type
        if media_type is None or self._parts.pictures is None:
            return None
        return self._parts.pictures.read(row["id"], media_type)

    def audit(self, cursor: str | None = None, limit: int = 100) -> Page[AuditLine]:
        return self._journal.lines(cursor, min(limit, _MOST_LISTED))

    def count(self) -> Counts:
        return Counts(self._parts.people.count(), self._connection.count(self._images))

    @property
    def acceleration(self) -> Acceleration | None:
        return self._acceleration

    def check(self) -> None:
        self._connection.count(self._images)
        probe = np.zeros((1, self.dimension), np.float32)
        probe[0, 0] = 1
        rank(MilvusSource(self._connection, self._images, self.dimension, ""), probe, Wanted(1, 1, None))

    def backup(self, path: Path, extra: Mapping[str, Path] | None = None) -> Counts:
        return back_up_distributed(self._uri, path, extra)

    def reembed(self, bundle_id: str, dimension: int, *, actor: str | None = None) -> Reembedding:
        raise NotOffered(_NO_REEMBEDDING)

    def reembedding(self) -> Reembedding | None:
        return None

    def switch_back(self, *, actor: str | None = None) -> None:
        raise NotOffered(_NO_REEMBEDDING)

    def discard_retired(self, *, actor: str | None = None) -> None:
        raise NotOffered(_NO_REEMBEDDING)

    def close(self) -> None:
        if self._connection.closed:
            return
        self._maintenance.stop()
        with contextlib.suppress(GalleryError):
            self._log_searches()
        self._connection.close()

    def _check_bundle(self, bundle_id: str | None) -> None:
        if bundle_id is not None and bundle_id != self.bundle_id:
            raise WrongBundle(f"vectors of bundle {bundle_id}; the gallery holds those of {self.bundle_id}")

    def _find(self, identity: str, image_id: str, strong: bool = False) -> Row | None:
        condition = f"id == {image_row(image_id)} and {rows.one_of('identity', [identity])}"
        found = self._connection.read(self._images, condition, rows.RECORD, 1, strong)
        return found[0] if found else None

    def _known(self, identity: str) -> None:
        own = rows.one_of("identity", [identity])
        if not self._connection.read(self._images, own, ["id"], 1):
            raise UnknownIdentity(f"no identity {identity!r}")


_NO_REEMBEDDING = (
    "a distributed gallery is not re-embedded in place: bring it to an embedded one (dgrl migrate), re-embed that,"
    " and bring it back"
)
