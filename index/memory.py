"""How the vectors come into memory at start: from a snapshot that is proved to fit, or from the store."""

import contextlib
import logging
import secrets
import time

from index import listing, room, snapshot, spaces, store
from index.database import Database
from index.errors import GalleryError
from index.snapshot import SnapshotRejected, Tie
from index.view import Space, View

log = logging.getLogger(__name__)
_TOKEN = "snapshot"


class Memory:
    """Keeps `<gallery>.snapshot`, which exists only while it is equal to the store."""

    def __init__(self, database: Database, threads: int) -> None:
        self._database = database
        self._threads = threads
        self._path = database.path.with_name(database.path.name + ".snapshot")
        self._current = False

    def load(self, space: Space) -> View:
        """At the start."""
        started = time.perf_counter()
        self._path.with_name(self._path.name + ".partial").unlink(missing_ok=True)  # of a killed process
        with self._database.reading() as tx:
            room.check_memory(self._database.path, listing.count(tx).images, space.dimension)
            tie = self._tie(space, store.generation(tx), store.setting(tx, _TOKEN) or "")
            try:
                segments = snapshot.read(self._path, tie, self._threads)
                view = spaces.named(tx, View.of(space, segments))
                self._current = True
            except SnapshotRejected as reason:
                if self._path.exists():
                    log.warning("snapshot %s is not used: %s", self._path, reason)
                    self._path.unlink()
                view = spaces.load(tx, space)
        source, seconds = "the snapshot" if self._current else "the store", time.perf_counter() - started
        log.info("%s: %d images from %s in %.2f s", self._database.path, view.images, source, seconds)
        return view

    def _tie(self, space: Space, generation: int, token: str) -> Tie:
        return Tie(self._database.gallery_id, token, generation, space.bundle_id, space.dimension)

    def outdate(self) -> None:
        """The store is about to change. A snapshot may hold what is about to be deleted."""
        if self._current:
            self._path.unlink(missing_ok=True)
            self._current = False

    def save(self, view: View) -> None:
        """Without it the next start is slower, and nothing else: failures are logged."""
        if self._current or not view.segments:
            return
        token = secrets.token_hex(16)
        try:
            snapshot.write(self._path, view, self._tie(view.space, view.generation, token))
            with self._database.transaction() as tx:
                store.set_setting(tx, _TOKEN, token)
            self._current = True
        except (OSError, GalleryError) as error:
            log.warning("no snapshot %s was written: %s", self._path, error)
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
