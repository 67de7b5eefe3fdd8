"""What a run will take, said before it starts, and refused where memory or disk clearly does not suffice.

Time: some real steps on random pixels with a copy of the network. Memory: weights, gradients, the optimiser's state
and the tensors that a step keeps for its backward pass, found by going through it once without computing (fake
tensors). Disk: caches that are not there yet, and two checkpoints, the old and the one being written.
"""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from training.room import free_disk

log = logging.getLogger("training")

Network = Callable[..., Any]  # a module, or what torch.compile makes of it
Loss = Callable[[Network], Tensor]
"""One step's forward pass and loss, on pixels that it makes up."""

_CERTAIN = 0.8  # of the estimated memory: a run needs that much in any case
LIBRARIES = 400 * 2**20  # code and workspaces of PyTorch, beside tensors (measured on CPUs)
_TIMED = 2


class NotEnoughRoom(ValueError):
    """Memory or disk does not suffice for a run; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes and seconds."""

    steps: int  # still to do
    per_step: float
    before: float  # until the first step: what RCAN takes to make the SR twins
    memory: int
    memory_free: int | None
    disk: Sequence[tuple[Path, int]]  # to be written below each folder

    def __str__(self) -> str:
        first = f"SR twins first: about {_span(self.before)}; " if self.before else ""
        free = "" if self.memory_free is None else f" ({_size(self.memory_free)} free)"
        return (
            f"{first}{self.steps:,} steps of {self.per_step:.3g} s: about {_span(self.steps * self.per_step)}; "
            f"memory: about {_size(self.memory)}{free}; disk: {_size(sum(size for _, size in self.disk))}"
        )

    def announce(self, device: torch.device, *, force: bool) -> None:
        """Log it. Raises NotEnoughRoom, unless `force`."""
        log.info("%s", self)
        for problem in [*self._memory_problem(device), *self._disk_problems()]:
            if not force:
                raise NotEnoughRoom(f"{problem}; --force starts it all the same")
            log.warning("%s; started all the same", problem)

    def _memory_problem(self, device: torch.device) -> list[str]:
        if self.memory_free is None or _CERTAIN * self.memory <= self.memory_free:
            return []
        kind = "GPU memory" if device.type == "cuda" else "memory"
        return [
            f"the run takes about {_size(self.memory)} of {kind} and {_size(self.memory_free)} are free: "
            'take a smaller batch, smaller pictures, a smaller network or precision = "bfloat16" in the recipe'
        ]

    def _disk_problems(self) -> list[str]:
        sums: dict[int, tuple[Path, int, int]] = {}
        for folder, size in self.disk:
            number, free = free_disk(folder)
            first, before, _ = sums.get(number, (folder, 0, free))
            sums[number] = (first, before + size, free)
        return [
            f"{folder}: the run writes about {_size(size)} there and {_size(free)} are free: "
            "make room, or choose other folders (--out, --cache)"
            for folder, size, free in sums.values()
            if size > free
        ]


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


def kept_for_backward(make: Callable[[], nn.Module], losses: Sequence[Loss]) -> int:
    """Bytes of the largest step's saved tensors, the network's own left out. Nothing is allocated or computed."""
    with FakeTensorMode():
        network = make().train()
        own = {_storage(tensor) for tensor in (*network.parameters(), *network.buffers())}
        return max(_kept(network, loss, own) for loss in losses)


def weights(network: nn.Module) -> int:
    """Bytes of the parameters."""
    return sum(p.numel() * p.element_size() for p in network.parameters())


def _kept(network: nn.Module, loss: Loss, own: set[int]) -> int:
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[_storage(tensor)] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss(network)
    return sum(tensor.untyped_storage().nbytes() for key, tensor in kept.items() if key not in own)


def _storage(tensor: Tensor) -> int:
    key: int = tensor.untyped_storage()._cdata
    return key


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**29 else f"{count / 2**20:.1f} MiB"


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
