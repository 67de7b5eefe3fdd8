"""How much work is let in: past the limit a request gets 429 and a time to come back, before any decoding."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from service.problems import Kind, Problem

_SMOOTHING = 0.1


class Admission:
    """Counts the images between their arrival and their answer."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._inside = 0
        self._seconds_per_image = 0.1  # of the whole service, smoothed; the first guess for Retry-After

    @property
    def inside(self) -> int:
        return self._inside

    @contextmanager
    def admit(self, images: int) -> Iterator[None]:
        if self._inside + images > self.capacity:
            seconds = max(1, math.ceil(self._inside * self._seconds_per_image))
            raise Problem(
                Kind.QUEUE_FULL,
                f"{self._inside} images are in work; {images} more would pass the limit of {self.capacity}",
                headers={"Retry-After": str(seconds)},
            )
        self._inside += images
        start = time.perf_counter()
        try:
            yield
        finally:
            rate = (time.perf_counter() - start) / max(1, self._inside)
            self._seconds_per_image += _SMOOTHING * (rate - self._seconds_per_image)
            self._inside -= images
