"""`migrate`: a gallery moves to another engine, embedded to distributed or back, in one resumable call."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from index.backup import DATABASE, back_up, prove, read_manifest
from index.errors import GalleryError, GalleryUnavailable
from index.restore import Restored
from index.transfer import About, Reader, Sums, Writer, transfer
from index.transfer_embedded import EmbeddedReader, EmbeddedWriter
from index.types import Counts

if TYPE_CHECKING:
    from types import ModuleType

DISTRIBUTED = ("milvus://", "milvus+lite://")


def migrate(source: str, target: str, *, progress: Callable[[int], None] | None = None) -> Sums:
    """Copy the gallery at the URI `source` to `target`, which must be new or the same call's unfinished work.

    An embedded gallery must not be open. The copy has the same ids, audit log and deletions, and is proved by count,
    checksum and sample rankings before anybody can open it; the source is left as it is. Raises GalleryError when the
    two are not equal in the end, and when a re-embedding's other vectors would be lost.
    """
    with contextlib.ExitStack() as held:
        reader = held.enter_context(_reading(source))
        return transfer(reader, held.enter_context(_writing(target, reader.about)), progress=progress)


def back_up_distributed(uri: str, target: Path, extra: Mapping[str, Path] | None = None) -> Counts:
    """In the format of an embedded gallery's backup. What others change meanwhile may be in it or not."""
    if target.exists():
        raise GalleryError(f"{target} exists already")
    folder = target.with_name(target.name + ".export")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with (
            _reading(uri) as reader,
            contextlib.closing(EmbeddedWriter(folder / DATABASE, reader.about)) as writer,
        ):
            for page in reader.images():
                writer.put(page)
            for lines in reader.lines():
                writer.put_lines(lines)
            writer.complete()
        manifest = back_up(folder / DATABASE, target, extra)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Counts(manifest.identities, manifest.images)


def restore_distributed(backup: Path, uri: str) -> Restored:
    """Into an empty gallery. Images that its journal knows as deleted since do not come back."""
    manifest = read_manifest(backup)
    prove(backup / DATABASE, manifest)
    with contextlib.ExitStack() as held:
        reader = held.enter_context(contextlib.closing(EmbeddedReader(backup / DATABASE, locked=False)))
        distributed = _distributed()
        writer = held.enter_context(contextlib.closing(distributed.MilvusWriter(uri, reader.about)))
        images = [one.image for page in reader.images(pictures=False) for one in page]
        same = writer.about.gallery_id == reader.about.gallery_id
        deleted = frozenset(writer.deleted_among(images)) if same else frozenset[int]()
        transfer(reader, writer, without=deleted)
    return Restored(manifest, len(deleted))


@contextlib.contextmanager
def _reading(uri: str) -> Iterator[Reader]:
    reader = (
        _distributed().MilvusReader(uri) if uri.startswith(DISTRIBUTED) else EmbeddedReader(sqlite_path(uri))
    )
    with contextlib.closing(reader):
        yield reader


@contextlib.contextmanager
def _writing(uri: str, about: About) -> Iterator[Writer]:
    embedded = not uri.startswith(DISTRIBUTED)
    writer = EmbeddedWriter(sqlite_path(uri), about) if embedded else _distributed().MilvusWriter(uri, about)
    with contextlib.closing(writer):
        yield writer


def _distributed() -> "ModuleType":
    try:
        import index.milvus.transfer as distributed
    except ModuleNotFoundError as error:
        raise GalleryUnavailable(
            f"a distributed gallery needs the package {error.name}: pip install '.[scale]' in a checkout"
        ) from error
    return distributed


def sqlite_path(uri: str) -> Path:
    scheme, separator, path = uri.partition(":///")
    if not separator or not path:
        raise GalleryError(
            f"{uri!r} is not a gallery URI; expected sqlite:///path or milvus://host:port/name"
        )
    if scheme != "sqlite":
        raise GalleryError(f"unknown gallery engine {scheme!r}; this version knows sqlite and milvus")
    return Path(path)
