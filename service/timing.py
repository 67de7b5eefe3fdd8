"""Where a request's time goes. Waiting for a session's turn counts as `queue`, not as the stage's."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from service.batching import Done

STAGES = ("decode", "super_resolve", "embed", "search", "queue")


class Stopwatch:
    def __init__(self, started: float) -> None:
        self._started = started
        self.seconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - start

    def waited(self, stage: str, answers: Sequence[Done[Any]]) -> None:
        """Moves the shortest wait among a stage's images from the stage to the queue."""
        waiting = min((answer.waiting for answer in answers), default=0.0)
        self.seconds[stage] -= waiting
        self.seconds["queue"] += waiting

    def milliseconds(self) -> dict[str, float]:
        spent = {**self.seconds, "total": time.perf_counter() - self._started}
        return {name: round(seconds * 1000, 3) for name, seconds in spent.items()}
