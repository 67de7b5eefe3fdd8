"""Open, back up and restore a gallery by URI."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from index.backup import back_up
from index.embedded import EmbeddedGallery
from index.errors import GalleryError, GalleryUnavailable
from index.gallery import Gallery
from index.migrate import DISTRIBUTED, back_up_distributed, restore_distributed, sqlite_path
from index.restore import Restored, restore
from index.types import Counts, SearchMethod

if TYPE_CHECKING:
    from index.milvus.gallery import MilvusGallery


def open_gallery(
    uri: str,
    *,
    bundle_id: str,
    dimension: int,
    keep_images: bool = True,
    retention: timedelta | None = None,
    threads: int | None = None,
    search: SearchMethod = "exact",
) -> Gallery:
    """`sqlite:///relative/path` or `sqlite:////absolute/path`: one file, made when missing.
    `milvus://host:port/name`: in Milvus, shared by any number of services (needs the extra `scale`); options behind
    `?` are `token_file`, `tls`, `database`, `pictures` (a folder), `shards`, `replicas`; see index/SCALE.md.

    `retention`: images that were enrolled longer ago are deleted, within seconds.
    `threads`: how many cores one search may use (default: all).
    `search`: "exact", or from 10,000 images on by way of an approximate index, "hnsw" or "ivf", or of a copy on a
    "gpu", which must be there.
    Raises WrongBundle when it holds vectors of another bundle, GalleryUnavailable when it cannot be opened.
    """
    if uri.startswith(DISTRIBUTED):
        return _milvus_gallery()(
            uri,
            bundle_id=bundle_id,
            dimension=dimension,
            keep_images=keep_images,
            retention=retention,
            search=search,
        )
    return EmbeddedGallery(
        sqlite_path(uri),
        bundle_id=bundle_id,
        dimension=dimension,
        keep_images=keep_images,
        retention=retention,
        threads=threads,
        search=search,
    )


def backup_gallery(uri: str, target: Path, extra: Mapping[str, Path] | None = None) -> Counts:
    """As `Gallery.backup`, of a gallery that this or another process may have open."""
    if uri.startswith(DISTRIBUTED):
        return back_up_distributed(uri, target, extra)
    manifest = back_up(sqlite_path(uri), target, extra)
    return Counts(manifest.identities, manifest.images)


def restore_gallery(
    backup: Path, uri: str, *, replace: bool = False, later: Path | None = None, actor: str | None = None
) -> Restored:
    """Verify a backup and make it the gallery at `uri`; see `index.restore`. A distributed one must be empty."""
    if uri.startswith(DISTRIBUTED):
        if replace or later is not None:
            raise GalleryError(
                "a backup is restored to a new distributed gallery: name one that has no images"
            )
        return restore_distributed(backup, uri)
    return restore(backup, sqlite_path(uri), replace=replace, later=later, actor=actor)


def _milvus_gallery() -> type["MilvusGallery"]:
    """Imported only where it is used: a machine with an embedded gallery does not need pymilvus."""
    try:
        from index.milvus.gallery import MilvusGallery
    except ModuleNotFoundError as error:
        raise GalleryUnavailable(
            f"a distributed gallery needs the package {error.name}: pip install '.[scale]' in a checkout"
        ) from error
    return MilvusGallery
