"""The gallery: durable store and vector search. Imports nothing of the other rooms, and no torch."""

from index.errors import (
    GalleryError,
    GalleryUnavailable,
    InvalidCursor,
    InvalidEnrolment,
    StorageFull,
    UnknownIdentity,
    UnknownImage,
    WrongBundle,
)
from index.gallery import Gallery
from index.open import backup_gallery, open_gallery, restore_gallery
from index.types import (
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
    Support,
)

__all__ = [
    "Added",
    "AuditLine",
    "Counts",
    "Enrolment",
    "Filters",
    "Gallery",
    "GalleryError",
    "GalleryUnavailable",
    "IdentitySummary",
    "Image",
    "ImageRecord",
    "InvalidCursor",
    "InvalidEnrolment",
    "Match",
    "Page",
    "StorageFull",
    "Support",
    "UnknownIdentity",
    "UnknownImage",
    "WrongBundle",
    "backup_gallery",
    "open_gallery",
    "restore_gallery",
]
