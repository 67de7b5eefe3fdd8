"""NaN and infinity stop a run at once, without the host waiting for the device at each step.

On a GPU the losses of a step are copied into page-locked memory behind the step's work, and looked at when they have
arrived: one or two steps later, as far as the host runs ahead. On a CPU they are looked at before the update.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from training.failure import TrainingFailed


class Arrival(Protocol):
    """What a CUDA event says of a copy."""

    def query(self) -> bool: ...

    def synchronize(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Sent:
    step: int
    names: list[str]
    values: Tensor
    arrival: Arrival | None  # None: it is there


class FiniteWatch:
    """Raises TrainingFailed for the first step whose losses are not all finite."""

    def __init__(self) -> None:
        self._sent: deque[_Sent] = deque()

    def note(self, step: int, names: list[str], losses: Tensor) -> None:
        """Look at step `step`'s losses (one a name) as soon as they are there, and now at those that are."""
        self.expect(step, names, *_to_host(losses))

    def expect(self, step: int, names: list[str], values: Tensor, arrival: Arrival | None) -> None:
        """The same, for values on their way to host memory."""
        self._sent.append(_Sent(step, names, values, arrival))
        self.check()

    def check(self, *, wait: bool = False) -> None:
        """Look at what has arrived; with `wait`, at everything."""
        while self._sent:
            sent = self._sent[0]
            if sent.arrival is not None and not sent.arrival.query():
                if not wait:
                    return
                sent.arrival.synchronize()
            if not bool(sent.values.isfinite().all()):
                found = dict(zip(sent.names, sent.values.tolist(), strict=True))
                raise TrainingFailed(
                    f"a loss is not finite at step {sent.step + 1}: {found}; the last checkpoint is from before it; "
                    "lower the rate, lengthen the warm-up or use float32"
                )
            self._sent.popleft()


def check_weights(step: int, parameters: Iterable[Tensor]) -> None:
    """Before a checkpoint replaces the last one: raises TrainingFailed where a weight is not finite."""
    with torch.no_grad():
        if not bool(torch.stack([p.isfinite().all() for p in parameters]).all()):
            raise TrainingFailed(
                f"weights are not finite after step {step}, so no checkpoint is written and the last one stands; "
                "lower the rate, lengthen the warm-up or use float32"
            )


def _to_host(values: Tensor) -> tuple[Tensor, Arrival | None]:
    if not values.is_cuda:
        return values, None
    host = torch.empty(values.shape, pin_memory=True).copy_(values, non_blocking=True)
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record()
    return host, event
