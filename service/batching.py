"""Micro-batching: while a session is busy its images pile up, and the next batch takes them together.

Nothing waits for company: an idle session starts on the first image at once. Batches have a power of two
images, so that a session sees few shapes and its memory stays put. A request that has passed its deadline
when the batch is formed is told so and left out of it.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from service.deadline import Deadline
from service.metrics import Metrics

Pixels = NDArray[np.uint8]
Row = TypeVar("Row")
Run = Callable[[Pixels], Iterable[Row]]  # (N, h, w, 3) to N rows


@dataclass(frozen=True, slots=True)
class Done(Generic[Row]):
    """One image's row of the result, and its times in seconds; `running` is its batch's whole time."""

    row: Row
    waiting: float
    running: float


@dataclass(slots=True)
class _Item(Generic[Row]):
    image: Pixels
    deadline: Deadline
    arrived: float
    answer: asyncio.Future[Done[Row]]


class Lanes:
    """As many inferences at a time as the device runs well: one, unless configured otherwise."""

    def __init__(self, count: int) -> None:
        self.turn = asyncio.Semaphore(count)
        self.threads = ThreadPoolExecutor(count, thread_name_prefix="inference")

    def close(self) -> None:
        self.threads.shutdown(wait=True, cancel_futures=True)


class MicroBatcher(Generic[Row]):
    """In front of one session. Belongs to the event loop; only `run` is called in a thread."""

    def __init__(self, name: str, run: Run[Row], lanes: Lanes, max_batch: int, metrics: Metrics) -> None:
        self._name = name
        self._run = run
        self._lanes = lanes
        self._max_batch = max_batch
        self._metrics = metrics
        self._queue: deque[_Item[Row]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._answered = -math.inf

    def at_work(self, seconds: float) -> bool:
        """Whether images wait for it and it has answered others within the last seconds."""
        return bool(self._queue) and time.perf_counter() - self._answered < seconds

    async def submit(self, image: Pixels, deadline: Deadline) -> Done[Row]:
        item = _Item(image, deadline, time.perf_counter(), asyncio.get_running_loop().create_future())
        self._queue.append(item)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._drain(), name=f"batches of {self._name}")
        return await item.answer

    async def _drain(self) -> None:
        while self._queue:
            async with self._lanes.turn:
                if batch := self._form():
                    await self._answer(batch)

    def _form(self) -> list[_Item[Row]]:
        waiting: list[_Item[Row]] = []
        while self._queue and len(waiting) < self._max_batch:
            item = self._queue.popleft()
            if item.answer.done():  # its request was given up
                continue
            if item.deadline.expired:
                item.answer.set_exception(item.deadline.problem())
                continue
            waiting.append(item)
        size = 1 << (len(waiting).bit_length() - 1) if waiting else 0
        self._queue.extendleft(reversed(waiting[size:]))
        return waiting[:size]

    async def _answer(self, batch: list[_Item[Row]]) -> None:
        images = np.stack([item.image for item in batch])  # (N, h, w, 3)
        start = time.perf_counter()
        try:
            rows = await asyncio.get_running_loop().run_in_executor(self._lanes.threads, self._run, images)
        except Exception as error:
            for item in batch:
                if not item.answer.done():
                    item.answer.set_exception(error)
            return
        self._answered = time.perf_counter()
        running = self._answered - start
        self._metrics.inference_seconds.labels(self._name).observe(running)
        self._metrics.batch_images.labels(self._name).observe(len(batch))
        for item, row in zip(batch, rows, strict=True):
            if not item.answer.done():
                item.answer.set_result(Done(row, start - item.arrived, running))
