"""How long a training will take, from some real steps on random pixels with a copy of the network."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from training.needs import Loss, Network

_TIMED = 2


@dataclass(frozen=True, slots=True)
class Duration:
    """In seconds."""

    steps: int  # still to do
    per_step: float
    before: float = 0.0  # until the first step: what RCAN takes to make the SR twins

    def __str__(self) -> str:
        first = f"SR twins first: about {_span(self.before)}; " if self.before else ""
        whole = _span(self.steps * self.per_step)
        return f"{first}{self.steps:,} steps of {self.per_step:.3g} s: about {whole}"


def seconds_per_step(
    network: Network, optimiser: torch.optim.Optimizer, losses: Sequence[Loss], device: torch.device
) -> float:
    """The mean over `losses`, which take turns. `network` is trained on: give a copy."""

    def step(loss: Loss) -> None:
        found = loss(network)
        optimiser.zero_grad()
        found.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        return sum(timed(partial(step, loss), device) for loss in losses) / len(losses)


def timed(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of a call, after one that is not counted: it allocates, picks kernels, compiles."""
    call()
    started = _now(device)
    for _ in range(_TIMED):
        call()
    return (_now(device) - started) / _TIMED


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
