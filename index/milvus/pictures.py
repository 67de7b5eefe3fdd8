"""Where the enrolled pictures are: in a folder that all services share, or nowhere.

Milvus holds texts of at most 65,535 bytes, and holds them in memory: it is no place for pictures. `?pictures=FOLDER`
in the gallery's URI names a folder (of a shared file system, if several machines serve); without it none are kept.
A picture is written before the row that speaks of it, and erased before the row's deletion is acknowledged.
"""

import errno
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from index.database import sync_folder
from index.errors import GalleryUnavailable, StorageFull
from index.types import Image

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Pictures:
    """One file for each image, in 1,024 folders, named by the image's number."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, image: int, picture: Image) -> None:
        """On the disk when it returns."""
        path = self._path(image)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, partial = tempfile.mkstemp(dir=path.parent, prefix=".")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(picture.data)
                    file.flush()
                    os.fsync(file.fileno())
                Path(partial).replace(path)
            except BaseException:
                Path(partial).unlink(missing_ok=True)
                raise
            sync_folder(path.parent)
        except OSError as error:
            kind = StorageFull if error.errno in _NO_ROOM else GalleryUnavailable
            raise kind(f"the picture folder {self._folder} takes no picture: {error.strerror}") from error

    def read(self, image: int, media_type: str) -> Image | None:
        """None: it was erased a moment ago."""
        try:
            return Image(self._path(image).read_bytes(), media_type)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise GalleryUnavailable(
                f"the picture folder {self._folder} cannot be read: {error.strerror}"
            ) from error

    def erase(self, images: Iterable[int]) -> None:
        """Their names are off the disk when it returns."""
        paths = [self._path(image) for image in images]
        try:
            for path in paths:
                path.unlink(missing_ok=True)
            for folder in {path.parent for path in paths}:
                if folder.exists():
                    sync_folder(folder)
        except OSError as error:
            raise GalleryUnavailable(
                f"a picture in {self._folder} cannot be erased: {error.strerror}"
            ) from error

    def _path(self, image: int) -> Path:
        return self._folder / f"{(image >> 18) % 1024:04d}" / str(image)
