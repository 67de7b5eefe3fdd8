"""Where a step's time goes: data, forward, backward, optimiser."""

import time
from collections.abc import Callable
from itertools import pairwise

import torch

Mark = float | torch.cuda.Event


class StepClock:
    """Marks between the parts of a step. On CUDA they are events: nothing waits until they are read.

    There, `data` is the time from the end of the last step until the batch is ready on the device: time in which
    the GPU computes the batch or waits for it.
    """

    def __init__(self, device: torch.device, now: Callable[[], float] = time.perf_counter) -> None:
        self._cuda, self._now = device.type == "cuda", now
        self._steps: list[list[tuple[str, Mark]]] = []

    def begin(self) -> None:
        """A step begins; what happened since the last lap (logging, checkpoints) belongs to no part."""
        self._steps.append([("", self._mark())])

    def lap(self, part: str) -> None:
        """`part` ends here."""
        self._steps[-1].append((part, self._mark()))

    def read(self) -> list[dict[str, float]]:
        """Seconds of each part of each step since the last reading; waits for the device."""
        steps, self._steps = self._steps, []
        return [
            {part: _seconds(before, after) for (_, before), (part, after) in pairwise(marks)}
            for marks in steps
        ]

    def _mark(self) -> Mark:
        if not self._cuda:
            return self._now()
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event


def data_share(steps: list[dict[str, float]]) -> float:
    """The part of the steps' time that went to data, 0 to 1."""
    whole = sum(sum(step.values()) for step in steps)
    return sum(step.get("data", 0.0) for step in steps) / max(whole, 1e-9)


def _seconds(before: Mark, after: Mark) -> float:
    if isinstance(before, torch.cuda.Event) and isinstance(after, torch.cuda.Event):
        after.synchronize()
        return float(before.elapsed_time(after)) / 1000
    assert isinstance(before, float) and isinstance(after, float)
    return after - before
