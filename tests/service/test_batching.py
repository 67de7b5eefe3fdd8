"""The micro-batcher against plain calls: same rows, few shapes, nobody waits for company, the late are told."""

import asyncio
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.batching import Lanes, MicroBatcher
from service.deadline import Deadline
from service.metrics import Metrics
from service.problems import Kind, Problem

Pixels = NDArray[np.uint8]


class Session:
    """Doubles its input; remembers what it was given."""

    def __init__(self, seconds: float = 0.0, fail_on: int | None = None) -> None:
        self.batches: list[int] = []
        self.threads: set[str] = set()
        self._seconds = seconds
        self._fail_on = fail_on

    def __call__(self, images: Pixels) -> NDArray[np.int64]:
        self.batches.append(len(images))
        self.threads.add(threading.current_thread().name)
        time.sleep(self._seconds)
        if self._fail_on is not None and self._fail_on in images:
            raise RuntimeError("the session broke")
        return images.astype(np.int64) * 2


async def together(
    session: Session, numbers: list[int], deadline: Deadline, max_batch: int = 8
) -> list[object]:
    lanes = Lanes(1)
    try:
        batcher = MicroBatcher("doubles", session, lanes, max_batch, Metrics())
        jobs = (batcher.submit(np.full(1, n, np.uint8), deadline) for n in numbers)
        return list(await asyncio.gather(*jobs, return_exceptions=True))
    finally:
        lanes.close()


@given(st.lists(st.integers(0, 255), min_size=1, max_size=60), st.integers(1, 20))
@settings(deadline=None, max_examples=30)
def test_everyone_gets_their_own_row(numbers: list[int], max_batch: int) -> None:
    session = Session()
    answers = asyncio.run(together(session, numbers, Deadline.of(60), max_batch))
    assert [int(answer.row[0]) for answer in answers] == [2 * n for n in numbers]
    assert sum(session.batches) == len(numbers)
    assert all(size & (size - 1) == 0 and size <= max_batch for size in session.batches)
    assert all(name.startswith("inference") for name in session.threads)


def test_a_busy_session_finds_the_next_batch_full() -> None:
    async def run(session: Session) -> None:
        lanes = Lanes(1)
        batcher = MicroBatcher("doubles", session, lanes, 8, Metrics())
        first = asyncio.create_task(batcher.submit(np.zeros(1, np.uint8), Deadline.of(60)))
        await asyncio.sleep(0.02)  # it runs by now, alone
        others = [batcher.submit(np.zeros(1, np.uint8), Deadline.of(60)) for _ in range(8)]
        await asyncio.gather(first, *others)
        lanes.close()

    session = Session(seconds=0.1)
    asyncio.run(run(session))
    assert session.batches == [1, 8]


@pytest.mark.parametrize("broken", [False, True])
def test_a_session_is_at_work_while_it_answers_and_more_waits(broken: bool) -> None:
    async def run() -> list[bool]:
        lanes = Lanes(1)
        session = Session(seconds=0.02, fail_on=0 if broken else None)
        batcher = MicroBatcher("doubles", session, lanes, 1, Metrics())
        seen = [batcher.at_work(60)]
        jobs = [asyncio.create_task(batcher.submit(np.zeros(1, np.uint8), Deadline.of(60))) for _ in range(5)]
        await asyncio.wait(jobs[:1])
        seen += [batcher.at_work(60), batcher.at_work(0)]
        await asyncio.wait(jobs)
        lanes.close()
        return [*seen, batcher.at_work(60)]

    assert asyncio.run(run()) == [False, not broken, False, False]


def test_the_late_are_left_out_of_the_batch() -> None:
    async def run(session: Session) -> list[object]:
        lanes = Lanes(1)
        batcher = MicroBatcher("doubles", session, lanes, 8, Metrics())
        first = asyncio.create_task(batcher.submit(np.zeros(1, np.uint8), Deadline.of(60)))
        await asyncio.sleep(0.02)
        jobs = [batcher.submit(np.zeros(1, np.uint8), Deadline.of(s)) for s in (0.01, 60, 0.01)]
        answers = await asyncio.gather(first, *jobs, return_exceptions=True)
        lanes.close()
        return list(answers)

    session = Session(seconds=0.1)
    _, late, in_time, also_late = asyncio.run(run(session))
    assert session.batches == [1, 1]
    assert not isinstance(in_time, BaseException)
    for problem in (late, also_late):
        assert isinstance(problem, Problem) and problem.kind is Kind.DEADLINE_EXCEEDED


def test_a_failing_batch_fails_its_own_images_only() -> None:
    session = Session(fail_on=7)
    answers = asyncio.run(together(session, [1, 2, 7, 3, 4, 5, 6, 8], Deadline.of(60), max_batch=4))
    failed = [isinstance(answer, RuntimeError) for answer in answers]
    assert failed == [True] * 4 + [False] * 4


def test_an_abandoned_request_is_skipped() -> None:
    async def run(session: Session) -> None:
        lanes = Lanes(1)
        batcher = MicroBatcher("doubles", session, lanes, 8, Metrics())
        first = asyncio.create_task(batcher.submit(np.zeros(1, np.uint8), Deadline.of(60)))
        await asyncio.sleep(0.02)
        abandoned = asyncio.create_task(batcher.submit(np.zeros(1, np.uint8), Deadline.of(60)))
        await asyncio.sleep(0)
        abandoned.cancel()
        await first
        with pytest.raises(asyncio.CancelledError):
            await abandoned
        await batcher.submit(np.zeros(1, np.uint8), Deadline.of(60))
        lanes.close()

    session = Session(seconds=0.1)
    asyncio.run(run(session))
    assert session.batches == [1, 1]


def test_the_event_loop_stays_free_while_a_session_runs() -> None:
    async def run() -> float:
        lanes = Lanes(1)
        batcher = MicroBatcher("doubles", Session(seconds=0.3), lanes, 8, Metrics())
        job = asyncio.create_task(batcher.submit(np.zeros(1, np.uint8), Deadline.of(60)))
        longest, before = 0.0, time.perf_counter()
        while not job.done():
            await asyncio.sleep(0.005)
            now = time.perf_counter()
            longest, before = max(longest, now - before), now
        lanes.close()
        return longest

    assert asyncio.run(run()) < 0.25
