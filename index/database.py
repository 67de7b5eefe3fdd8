"""The SQLite file: who may open it, how it is written, and what its errors mean."""

import contextlib
import fcntl
import logging
import os
import queue
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from index import schema
from index.errors import GalleryError, GalleryUnavailable, StorageFull
from index.reserve import Reserve
from index.scrub import Scrubber

_UNUSABLE = {
    sqlite3.SQLITE_PERM: "is not accessible",
    sqlite3.SQLITE_BUSY: "is locked by another program",
    sqlite3.SQLITE_READONLY: "is not writable",
    sqlite3.SQLITE_IOERR: "has input/output errors",
    sqlite3.SQLITE_CORRUPT: "is damaged",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    sqlite3.SQLITE_NOTADB: "is damaged or not a gallery",
}


log = logging.getLogger(__name__)
_EMPTY_PAGES = 2000  # 16 MB


class Database:
    """One writer, any number of readers, and no other process beside this one.

    WAL with synchronous=FULL: a commit is on the disk when it returns. Deleted bytes are overwritten, for which
    the log is moved into the file by `checkpoint` alone (see `index.scrub`).
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self.closed = False
        self._owes_checkpoint = False
        self._reserve = Reserve(self.path)
        with self.errors():
            self._lock_file = lock(self.path)
        try:
            with self.errors():
                for left in (".restoring", ".restoring-journal"):  # by a restore that was killed
                    self.path.with_name(self.path.name + left).unlink(missing_ok=True)
                self._writer = self._open_writer()
                self.gallery_id = schema.gallery_id(self._writer)
                self._inode = self.path.stat().st_ino
                self._scrubber = Scrubber(self.path)
                self.checkpoint()  # a process that was killed may have left deleted bytes in the log
        except BaseException:
            os.close(self._lock_file)
            raise

    def _open_writer(self) -> sqlite3.Connection:
        os.close(
            os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        )  # its WAL inherits the mode
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        try:
            complete = schema.check(connection, str(self.path))
            connection.executescript(
                f"PRAGMA page_size = {schema.PAGE_SIZE}; PRAGMA auto_vacuum = INCREMENTAL;"
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
                "PRAGMA secure_delete = ON; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000;"
                "PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 0;"
                "PRAGMA journal_size_limit = 67108864;"
            )
            if not complete:
                schema.create(connection)
        except BaseException:
            connection.close()
            raise
        sync_folder(self.path.parent)
        return connection

    @contextlib.contextmanager
    def transaction(self, *, frees_room: bool = False) -> Iterator[sqlite3.Connection]:
        """All or nothing, durable on return. The caller sees to it that there is one at a time.

        `frees_room`: a deletion, which may use the room that is kept back for it. Call `settle` after it.
        """
        self.refuse_closed()
        if frees_room:
            self._reserve.release_if_full()
        try:
            with self.errors():
                yield from self._begin_and_commit()
        except StorageFull:
            self.checkpoint()  # the log may hold more than the file needs
            raise
        if self._scrubber.log_is_long():
            self._shorten_log()

    def refuse_full(self) -> None:
        """Before anything is added: what deletions need is not used up by those who try again and again."""
        self.refuse_closed()
        with self.errors():
            empty = self._writer.execute("PRAGMA freelist_count").fetchone()[0] * schema.PAGE_SIZE
            if self._reserve.spent(empty):
                raise StorageFull(f"no room left for {self.path}, but for deletions")

    def _begin_and_commit(self) -> Iterator[sqlite3.Connection]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield self._writer
            self._writer.execute("COMMIT")
        except BaseException:
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A consistent view of what is committed now."""
        self.refuse_closed()
        with self.errors():
            try:
                connection = self._readers.get_nowait()
            except queue.Empty:
                connection = connect_read_only(self.path)
            try:
                connection.execute("BEGIN")
                yield connection
                connection.execute("COMMIT")
            except sqlite3.Error:
                connection.close()
                raise
            except BaseException:
                connection.execute("ROLLBACK")
                self._readers.put(connection)
                raise
            self._readers.put(connection)

    def settle(self, *, deleted: bool) -> None:
        """After a commit: no deleted bytes stay behind."""
        if deleted or self._owes_checkpoint:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Move the write-ahead log into the file and empty it, so that no deleted bytes stay behind in it.

        What is committed is safe without it. If a long reader (a backup) or a full disk is in the way, it is
        owed, and paid after the next change.
        """
        self._reserve.release_if_full()
        try:
            self._writer.execute("PRAGMA busy_timeout = 100")
            busy = self._move_log("FULL")
            if not busy:
                self._scrubber.scrub_moved()
                busy = self._move_log("TRUNCATE")
            self._owes_checkpoint = busy
            self._reserve.take()
        except (sqlite3.Error, OSError) as error:
            self._owes_checkpoint = True
            log.warning("deleted bytes stay in %s-wal for now: %s", self.path, error)
        finally:
            self._writer.execute("PRAGMA busy_timeout = 5000")

    def _shorten_log(self) -> None:
        """Move it into the file as far as readers allow, so that it begins anew; nobody waits for that."""
        try:
            if not self._move_log("PASSIVE"):
                self._scrubber.scrub_moved()
        except (sqlite3.Error, OSError) as error:
            log.warning("%s-wal stays long for now: %s", self.path, error)

    def _move_log(self, mode: str) -> bool:
        """Whether something was in the way of moving all of it."""
        busy, pages, moved = self._writer.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        return bool(busy) or pages != moved

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """SQLite's and the system's errors as the gallery's, naming the file; mistakes in code pass."""
        try:
            yield
        except GalleryError:
            raise
        except (sqlite3.Error, OSError) as error:
            translated = self._translate(error)
            if translated is None:
                raise
            raise translated from error

    def _translate(self, error: sqlite3.Error | OSError) -> GalleryError | None:
        if isinstance(error, OSError):
            return GalleryUnavailable(f"{self.path} cannot be opened: {error}")
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
        full = code == sqlite3.SQLITE_FULL
        if full or (code == sqlite3.SQLITE_IOERR and shutil.disk_usage(self.path.parent).free == 0):
            return StorageFull(f"no room left for {self.path}: {error}")
        if code in _UNUSABLE:
            return GalleryUnavailable(f"{self.path} {_UNUSABLE[code]}: {error}")
        return None

    def give_room_back(self) -> None:
        """Shrink the file, a piece at a time, while much of it is empty."""
        self.refuse_closed()
        with self.errors():
            empty: int = self._writer.execute("PRAGMA freelist_count").fetchone()[0]
            pages: int = self._writer.execute("PRAGMA page_count").fetchone()[0]
            if empty > max(_EMPTY_PAGES, pages // 10):
                self._writer.executescript(
                    f"PRAGMA incremental_vacuum({_EMPTY_PAGES})"
                )  # execute frees one page
                self.checkpoint()

    def check_in_place(self) -> None:
        """The path still names the file that was opened."""
        with self.errors():
            if not self.path.exists() or self.path.stat().st_ino != self._inode:
                raise GalleryUnavailable(f"{self.path} was removed or replaced while it was open")

    def refuse_closed(self) -> None:
        if self.closed:
            raise GalleryUnavailable(f"{self.path} is closed")

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        while not self._readers.empty():
            self._readers.get_nowait().close()
        self.checkpoint()  # SQLite would move the log as well, but not scrub
        self._writer.close()
        self._scrubber.close()
        os.close(self._lock_file)


def connect_read_only(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path.absolute().as_uri() + "?mode=ro", uri=True, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA busy_timeout = 5000")
    return connection


def sync_file(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Make the names of new files in `folder` survive a power loss."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lock(path: Path) -> int:
    """Hold `<path>.lock` while the descriptor is open; the system lets go of it when the process dies.

    Makes the folder. Raises GalleryUnavailable.
    """
    lock_path = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise GalleryUnavailable(f"{path} cannot be opened: {error}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
    except BlockingIOError as error:
        owner = os.pread(handle, 20, 0).decode(errors="replace") or "unknown"
        os.close(handle)
        raise GalleryUnavailable(
            f"{path} is already open in process {owner}: one process serves a gallery"
        ) from error
    except BaseException:
        os.close(handle)
        raise
    return handle
