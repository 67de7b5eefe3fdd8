"""Room kept back on the disk, so that a full one does not stop deletions.

Deleting needs room first: what secure_delete overwrites goes through the write-ahead log.
"""

import contextlib
import errno
import logging
import os
import shutil
from pathlib import Path

RESERVE_BYTES = 32 * 2**20
log = logging.getLogger(__name__)


class Reserve:
    """The file `<gallery>.reserve`; it holds nothing."""

    def __init__(self, gallery: Path) -> None:
        self._path = gallery.with_name(gallery.name + ".reserve")

    def take(self) -> None:
        """Set the room aside if the disk has twice as much."""
        if self._path.exists() or self._free() < 2 * RESERVE_BYTES:
            return
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, RESERVE_BYTES)
        except OSError as error:
            self._path.unlink()
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
        finally:
            os.close(handle)

    def release_if_full(self) -> None:
        if self._free() < RESERVE_BYTES and self._path.exists():
            log.warning("the disk is full: using the room kept back in %s", self._path)
            self.release()

    def spent(self, empty: int) -> bool:
        """Whether what is left, with `empty` bytes within the gallery's file, is for deletions only."""
        return not self._path.exists() and self._free() + empty < RESERVE_BYTES

    def release(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()

    def _free(self) -> int:
        return shutil.disk_usage(self._path.parent).free
