"""Memory and disk that a training takes; a run for which they clearly do not suffice is refused.

Memory is weights, gradients, the optimiser's state and the tensors that a step keeps for its backward pass, found by
going through it once without computing (fake tensors). Disk is the caches that are not there yet, and two
checkpoints: the last one and the one being written.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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

LIBRARIES = 400 * 2**20  # code and workspaces of PyTorch, beside tensors (measured on CPUs)
_CERTAIN = 0.8  # of the estimated memory: a run needs that much in any case


class NotEnoughRoom(ValueError):
    """Memory or disk does not suffice for a run; the message says what to change."""


@dataclass(frozen=True, slots=True)
class Needs:
    """In bytes."""

    memory: int
    memory_free: int | None
    disk: Sequence[tuple[Path, int]]  # to be written below each folder

    def __str__(self) -> str:
        free = "" if self.memory_free is None else f" ({_size(self.memory_free)} free)"
        return f"memory: about {_size(self.memory)}{free}; disk: {_size(sum(size for _, size in self.disk))}"

    def check(self, device: torch.device, *, force: bool) -> None:
        """Log them. Raises NotEnoughRoom, unless `force`."""
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


def kept_for_backward(make: Callable[[], nn.Module], losses: Sequence[Loss]) -> int:
    """Bytes of the largest step's saved tensors, the network's own left out. Nothing is allocated or computed.

    Network and losses are those of a CPU, for a GPU too: the same tensors are kept.
    """
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


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**29 else f"{count / 2**20:.1f} MiB"
