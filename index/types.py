"""What goes into a gallery and what comes out of it. Everything here is immutable."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Scalar = str | int | float | bool | None
SearchMethod = Literal["exact", "hnsw", "ivf", "gpu"]
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Image:
    """The picture as it was uploaded, kept only when the gallery is opened with `keep_images`."""

    data: bytes
    media_type: str


@dataclass(frozen=True, slots=True, eq=False)
class Enrolment:
    """One image of one person, ready to be stored. `vector` is a unit row of shape (dimension,)."""

    identity: str
    vector: Vectors
    content_hash: str
    camera: str | None = None
    captured_at: datetime | None = None  # with a time zone
    metadata: Mapping[str, Any] | None = None  # a JSON object; top-level scalars can be filtered on
    filename: str | None = None  # as uploaded, never used as a path
    quality: Mapping[str, float] | None = None
    flagged: bool = False
    image: Image | None = None


@dataclass(frozen=True, slots=True)
class Added:
    """`duplicate`: this content was already enrolled under this identity, and `image_id` names it."""

    image_id: str
    identity: str
    duplicate: bool


@dataclass(frozen=True, slots=True)
class Filters:
    """Which enrolled images may support a match. An image must pass every filter that is set.

    `since` is inclusive, `until` exclusive; an image without a time fails both. An image without a camera
    fails `cameras` and passes `exclude_cameras`.
    """

    cameras: frozenset[str] | None = None
    exclude_cameras: frozenset[str] = frozenset()
    since: datetime | None = None
    until: datetime | None = None
    identities: frozenset[str] | None = None
    prefix: str | None = None  # of the identity
    metadata: Mapping[str, Scalar] = field(default_factory=dict)  # equality of top-level scalars


@dataclass(frozen=True, slots=True)
class Support:
    """An enrolled image that supports a match."""

    image_id: str
    score: float
    camera: str | None
    flagged: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """An identity; its score is that of its best image, `images[0]`."""

    identity: str
    score: float
    images: tuple[Support, ...]


@dataclass(frozen=True, slots=True)
class IdentitySummary:
    identity: str
    images: int
    cameras: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ImageRecord:
    image_id: str
    camera: str | None
    captured_at: datetime | None  # UTC
    metadata: dict[str, Any] | None
    filename: str | None
    quality: dict[str, float] | None
    flagged: bool
    content_hash: str
    media_type: str | None  # None: the picture itself is not kept
    enrolled_at: datetime


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a listing; `next_cursor` is None on the last."""

    items: tuple[Item, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Progress:
    """Of a re-embedding: of all `images`, how many have a vector of `bundle_id`, and how many cannot get one."""

    bundle_id: str
    images: int
    embedded: int
    missing: int

    @property
    def pending(self) -> int:
        return self.images - self.embedded - self.missing


@dataclass(frozen=True, slots=True)
class Pending:
    """An image to be embedded anew."""

    image_id: str
    identity: str
    image: Image


@dataclass(frozen=True, slots=True)
class Missing:
    """An image that must be enrolled again, and why."""

    image_id: str
    identity: str
    filename: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class AuditLine:
    """`action`: enrol, search, rename, delete, expire, restore, ..."""

    at: datetime
    actor: str | None
    action: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Acceleration:
    """The second index that searches go through (HNSW, IVF or a GPU's copy), and what it finds."""

    method: SearchMethod
    images: int
    recall: float  # share of the ten best images that it finds
    seconds: float  # to build it


@dataclass(frozen=True, slots=True)
class Counts:
    identities: int
    images: int
