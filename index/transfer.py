"""Moving a gallery from one engine to another: resumable, and verified by count, checksum and rankings.

Images keep their ids, and with them their order and the audit log its sense. Nothing serves a target before it is
complete: an embedded one gets its name only then, a distributed one refuses to be opened.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np

from index import validation
from index.errors import GalleryError
from index.types import Image, Match, Vectors

log = logging.getLogger(__name__)
_SAMPLES = 8
_TOP_K = 10


@dataclass(frozen=True, slots=True)
class Stored:
    """An image with all that a gallery knows of it. Times are microseconds since 1970."""

    image: int
    identity: str
    content_hash: str
    camera: str | None
    captured_at: int | None
    enrolled_at: int
    flagged: bool
    quality: dict[str, float] | None
    metadata: dict[str, Any] | None
    filename: str | None
    vector: bytes  # float16
    picture: Image | None

    def digest(self) -> int:
        """Of everything but the picture, which a gallery may leave out."""
        facts = (
            self.image, self.identity, self.content_hash, self.camera, self.captured_at, self.enrolled_at,
            self.flagged, self.quality, self.metadata, self.filename,
        )  # fmt: skip
        text = validation.to_json("image", {"facts": facts}).encode()
        return int.from_bytes(hashlib.blake2b(text + b"\0" + self.vector, digest_size=32).digest(), "big")


@dataclass(frozen=True, slots=True)
class StoredLine:
    """A line of the audit log; `hidden` ones only say which images were deleted."""

    number: int
    at: int
    actor: str | None
    action: str
    detail: dict[str, Any]
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class About:
    gallery_id: str
    bundle_id: str
    dimension: int


class Reader(Protocol):
    about: About

    def images(self, after: int = 0, pictures: bool = True) -> Iterator[list[Stored]]:
        """Those with an id greater than `after`, in order, a bounded number at a time."""

    def lines(self) -> Iterator[list[StoredLine]]: ...

    def ranking(self, probe: Vectors, top_k: int) -> list[Match]:
        """`probe` is (1, D)."""


class Writer(Reader, Protocol):
    def reached(self) -> int:
        """The id up to which images were taken over already; 0 at the start."""

    def put(self, images: Sequence[Stored]) -> None:
        """Durable on return; may be repeated."""

    def put_lines(self, lines: Sequence[StoredLine]) -> None: ...

    def complete(self) -> None:
        """It may be served from now on."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What two equal galleries have in common, in whatever order their images are read."""

    images: int = 0
    identities: int = 0
    pictures: int = 0
    checksum: str = ""

    @classmethod
    def of(cls, reader: Reader) -> Self:
        images, total, pictures, names = 0, 0, 0, set[str]()
        for page in reader.images():
            images += len(page)
            total += sum(one.digest() for one in page)
            pictures += sum(one.picture is not None for one in page)
            names.update(one.identity for one in page)
        return cls(images, len(names), pictures, f"{total % 2**256:064x}")


def transfer(
    source: Reader,
    target: Writer,
    *,
    progress: Callable[[int], None] | None = None,
    without: frozenset[int] = frozenset(),
) -> Sums:
    """Copy, prove, complete. `without`: images that are left out. Raises GalleryError when the copy is not equal."""
    copied = 0
    for page in source.images(after=target.reached()):
        target.put([one for one in page if one.image not in without])
        copied += len(page)
        if progress is not None:
            progress(copied)
    for lines in source.lines():
        target.put_lines(lines)
    sums = prove(source, target, without)
    target.complete()
    return sums


def prove(source: Reader, target: Reader, without: frozenset[int]) -> Sums:
    expected, found = Sums.of(_Without(source, without) if without else source), Sums.of(target)
    if (found.images, found.checksum) != (expected.images, expected.checksum):
        raise GalleryError(
            f"the copy has {found.images} images with checksum {found.checksum[:16]}, the source {expected.images}"
            f" with {expected.checksum[:16]}: it was changed meanwhile. Stop whoever writes, and start again with an"
            " empty target"
        )
    if found.pictures < expected.pictures:
        log.warning("%d pictures are not kept by the target", expected.pictures - found.pictures)
    if not without:
        for probe in _samples(source, expected.images):
            if source.ranking(probe, _TOP_K) != target.ranking(probe, _TOP_K):
                raise GalleryError("the copy ranks differently than the source")
    return found


def _samples(reader: Reader, images: int) -> Iterator[Vectors]:
    """Stored vectors, spread over the gallery."""
    step, row = max(1, images // _SAMPLES), 0
    for page in reader.images(pictures=False):
        for one in page:
            if row % step == 0:
                yield np.frombuffer(one.vector, np.float16).astype(np.float32)[None]
            row += 1


class _Without:
    """A reader that leaves images out."""

    def __init__(self, reader: Reader, without: frozenset[int]) -> None:
        self._reader = reader
        self._without = without
        self.about = reader.about

    def images(self, after: int = 0, pictures: bool = True) -> Iterator[list[Stored]]:
        for page in self._reader.images(after, pictures):
            yield [one for one in page if one.image not in self._without]

    def lines(self) -> Iterator[list[StoredLine]]:
        return self._reader.lines()

    def ranking(self, probe: Vectors, top_k: int) -> list[Match]:
        return self._reader.ranking(probe, top_k)


def parsed(text: str | None) -> Any:
    return None if text is None else json.loads(text)
