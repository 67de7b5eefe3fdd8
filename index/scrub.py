"""Overwriting what SQLite leaves behind within its pages.

`secure_delete` overwrites the place of what is deleted. But when SQLite shares rows out anew among neighbouring pages
(btree.c, rebuildPage), copies of rows that moved stay in the unused middle of a page, and no later deletion knows of
them. That middle means nothing to SQLite, so it can be overwritten in the file while the file is in use. This is
done with every page that comes from the write-ahead log into the file, before the log is emptied or begun anew: the
middles of all pages in the file are zeros, whatever happens in between.

Formats: https://www.sqlite.org/fileformat2.html, sections 1.5 (tree pages), 1.8 (pointer map), 4.1 (log).
"""

import contextlib
import itertools
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

_INTERIOR, _LEAF = (2, 5), (10, 13)  # kinds of tree pages, by their first byte
_ROOT, _TREE = 1, 5  # kinds of pages in the pointer map
_HEADER, _FRAME = 32, 24  # bytes in the log: of its head, and before each page
LONG = 2000  # pages, at which the log is moved into the file


class Scrubber:
    """Keeps the file open: if it were closed, the system would drop the locks that SQLite has on it here."""

    def __init__(self, path: Path) -> None:
        self._log_path = path.with_name(path.name + "-wal")
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        head = os.pread(self._file, 100, 0)
        self._page_size: int = struct.unpack_from(">H", head, 16)[0]
        self._usable = self._page_size - head[20]
        self._salts, self._scrubbed = b"", 0  # which log it was, and how many of its frames are done

    def close(self) -> None:
        os.close(self._file)

    def log_is_long(self) -> bool:
        with self._open_log() as log:
            return _belongs(self._frame(log, LONG), _salts(log))

    def scrub_moved(self) -> None:
        """After all of the log was moved into the file, and before anything is written again."""
        pages = set[int]()
        with self._open_log() as log:
            if (salts := _salts(log)) != self._salts:
                self._salts, self._scrubbed = salts, 0
            committed = self._scrubbed
            for number in itertools.count(self._scrubbed):
                if not _belongs(frame := self._frame(log, number), salts):
                    break
                pages.add(int.from_bytes(frame[:4], "big"))
                if any(frame[4:8]):  # the last of a transaction; what was rolled back is written over
                    committed = number + 1
        self.scrub(pages)
        self._scrubbed = committed

    @contextlib.contextmanager
    def _open_log(self) -> Iterator[int]:
        log = os.open(self._log_path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            yield log
        finally:
            os.close(log)

    def _frame(self, log: int, number: int) -> bytes:
        return os.pread(log, _FRAME, _HEADER + number * (_FRAME + self._page_size))

    def scrub_all(self) -> None:
        self.scrub(range(1, os.fstat(self._file).st_size // self._page_size + 1))

    def scrub(self, pages: Iterable[int]) -> None:
        """Durable on return."""
        changed = False
        for page in pages:
            if not self._is_tree(page):
                continue
            start = (page - 1) * self._page_size
            content = os.pread(self._file, self._page_size, start)
            if gap := _gap(content, 100 if page == 1 else 0, self._usable):
                os.pwrite(self._file, bytes(len(gap)), start + gap.start)
                changed = True
        if changed:
            os.fdatasync(self._file)

    def _is_tree(self, page: int) -> bool:
        """By the pointer map, which a file with auto_vacuum has: the content of a picture may look like anything."""
        if page < 3:
            return page == 1
        group = self._usable // 5 + 1
        chart = (page - 2) // group * group + 2
        chart += chart == 2**30 // self._page_size + 1  # the page that SQLite locks
        kind = os.pread(self._file, 1, (chart - 1) * self._page_size + 5 * (page - chart - 1))
        return page > chart and kind in (bytes([_ROOT]), bytes([_TREE]))


def scrub_file(path: Path) -> None:
    """All of a file that nobody has open."""
    with contextlib.closing(Scrubber(path)) as scrubber:
        scrubber.scrub_all()


def _salts(log: int) -> bytes:
    """They change when the log begins anew, and stand in each of its frames."""
    return os.pread(log, 8, 16)


def _belongs(frame: bytes, salts: bytes) -> bool:
    """Else it is of an earlier log, or there is none."""
    return len(frame) == _FRAME and frame[8:16] == salts


def _gap(page: bytes, head: int, usable: int) -> range:
    """The unused middle of a tree page, between the cell pointers and the cells; empty if it is all zeros."""
    if len(page) < usable or page[head] not in _INTERIOR + _LEAF:
        return range(0)
    cells, content = struct.unpack_from(">HH", page, head + 3)
    start = head + (12 if page[head] in _INTERIOR else 8) + 2 * cells
    stop = content or 65536
    return range(start, stop) if start < stop <= usable and page[start:stop].strip(b"\0") else range(0)
