"""What a gallery does by itself every few seconds: forget what is due, log searches, give room back."""

import logging
import threading
from collections.abc import Callable, Sequence

from index.errors import GalleryError

log = logging.getLogger(__name__)
PERIOD_SECONDS = 5.0


class Maintenance:
    """Runs the tasks in a thread of its own until `stop`. A task that fails is logged, and tried again."""

    def __init__(self, tasks: Sequence[Callable[[], object]]) -> None:
        self._tasks = tasks
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gallery maintenance", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stopping.wait(PERIOD_SECONDS):
            for task in self._tasks:
                try:
                    task()
                except GalleryError as error:
                    log.warning("maintenance of the gallery: %s", error)
                except Exception:  # a mistake in one task must not end the others: retention is one of them
                    log.exception("maintenance of the gallery failed")

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()
