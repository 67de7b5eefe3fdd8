"""The gallery: enrolled people, and the search among them. Every engine implements this protocol."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

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
    Vectors,
)

NO_FILTERS = Filters()


class Gallery(Protocol):
    """Synchronous and safe to call from many threads. All errors are of `index.errors`.

    What a call acknowledges is durable: an enrolment survives a crash, and a deleted image never comes back.
    Searches see committed enrolments only, each `add` as a whole. Where `bundle_id` is given to `add` or
    `search`, it must name the bundle whose vectors the gallery holds (WrongBundle). `actor` goes to the
    audit log.
    """

    @property
    def bundle_id(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    def add(
        self, items: Sequence[Enrolment], *, bundle_id: str | None = None, actor: str | None = None
    ) -> list[Added]:
        """Store all items in one transaction, or none; what its identity already has is not stored twice."""

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
        """The `top_k` best identities of each probe in `vectors` (Q, D), with their best `supports` images.

        Scores are inner products with the stored vectors, clipped to [-1, 1]. Equal scores rank in order of
        enrolment. `rerank`: the best candidates are put in k-reciprocal order; their scores stay what they are.
        """

    def remove_identity(self, identity: str, *, actor: str | None = None) -> int:
        """The number of images that were removed; 0 when there is no such identity."""

    def remove_image(self, identity: str, image_id: str, *, actor: str | None = None) -> bool:
        """False when there is no such image. With its last image an identity is gone."""

    def rename(self, identity: str, new: str, *, actor: str | None = None) -> int:
        """Give the images of `identity` to `new`, merging when it exists; the number of images that moved.

        Raises UnknownIdentity. A moved image whose content `new` already has is dropped.
        """

    def identities(
        self, cursor: str | None = None, limit: int = 100, prefix: str = ""
    ) -> Page[IdentitySummary]: ...

    def images(self, identity: str, cursor: str | None = None, limit: int = 100) -> Page[ImageRecord]:
        """In order of enrolment. Raises UnknownIdentity."""

    def image(self, identity: str, image_id: str) -> Image | None:
        """None when pictures are not kept. Raises UnknownIdentity or UnknownImage."""

    def audit(self, cursor: str | None = None, limit: int = 100) -> Page[AuditLine]:
        """The audit log, from the oldest line to the newest."""

    def count(self) -> Counts: ...

    @property
    def acceleration(self) -> Acceleration | None:
        """The second index in use; None while every search reads all vectors, and so is exact."""

    def check(self) -> None:
        """A real read and a real search; raises GalleryUnavailable."""

    def backup(self, path: Path, extra: Mapping[str, Path] | None = None) -> Counts:
        """Write a complete, verified copy to the new folder `path`, while the gallery goes on serving.

        `extra`: further files to keep with it, by the name that they get. Restored by `restore_gallery`.
        """

    def reembed(self, bundle_id: str, dimension: int, *, actor: str | None = None) -> Reembedding:
        """Begin to move the gallery to another bundle, or take up the job where it stopped.

        Raises ReembeddingUnderWay while there is a job for a third bundle.
        """

    def reembedding(self) -> Reembedding | None:
        """The job that is under way."""

    def switch_back(self, *, actor: str | None = None) -> None:
        """Back to the bundle from before the last switch. Raises IncompleteReembedding if images came since."""

    def discard_retired(self, *, actor: str | None = None) -> None:
        """Erase the vectors from before the last switch; there is no way back then."""

    def close(self) -> None: ...
