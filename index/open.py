"""Open a gallery by URI."""

from datetime import timedelta
from pathlib import Path

from index.errors import GalleryError
from index.gallery import Gallery


def open_gallery(
    uri: str,
    *,
    bundle_id: str,
    dimension: int,
    keep_images: bool = True,
    retention: timedelta | None = None,
    threads: int | None = None,
) -> Gallery:
    """`sqlite:///relative/path` or `sqlite:////absolute/path`: one file, made when missing.

    `retention`: images that were enrolled longer ago are deleted, within seconds.
    `threads`: how many cores one search may use (default: all).
    Raises WrongBundle when it holds vectors of another bundle, GalleryUnavailable when it cannot be opened.
    """
    scheme, separator, path = uri.partition(":///")
    if not separator or not path:
        raise GalleryError(f"{uri!r} is not a gallery URI; expected sqlite:///path")
    if scheme == "sqlite":
        from index.embedded import EmbeddedGallery

        return EmbeddedGallery(
            Path(path),
            bundle_id=bundle_id,
            dimension=dimension,
            keep_images=keep_images,
            retention=retention,
            threads=threads,
        )
    raise GalleryError(f"unknown gallery engine {scheme!r}; this version knows sqlite")
