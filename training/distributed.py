"""Several processes under torchrun train as one process on the joint batch.

Every rank holds whole identities of the batch. The ID, KL and L1 terms are means over equally many pairs, so that
the mean of the ranks' gradients, which DistributedDataParallel takes, is the joint one. WRT compares all images of
the batch: its features are gathered, with gradients. BatchNorm has the joint batch's statistics.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from training.config import ConfigError
from training.device import DeviceError, ModuleT, choose_device
from training.joint_norm import with_joint_norms

_PATIENCE = timedelta(hours=3)  # the first rank may be making caches


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among `world`; by itself it is the only one."""

    rank: int = 0
    world: int = 1

    @property
    def main(self) -> bool:
        """Whether this process writes checkpoints and logs."""
        return self.rank == 0

    def part(self, identities: int, per_identity: int) -> slice:
        """This rank's rows of a batch of `identities` with `per_identity` pairs each. Raises ConfigError."""
        if identities % self.world:
            raise ConfigError(
                f"a batch of {identities} identities cannot be shared by {self.world} processes without splitting "
                "one: set identities_per_batch to a multiple, or start another number of processes"
            )
        rows = identities // self.world * per_identity
        return slice(self.rank * rows, (self.rank + 1) * rows)

    def gather(self, x: Tensor) -> Tensor:
        """The ranks' (B, ...) one after the other, (world * B, ...), for a loss that every rank computes alike."""
        if self.world == 1:
            return x
        gathered: Tensor = _Gather.apply(x, self.rank, self.world)  # type: ignore[no-untyped-call]
        return gathered

    def mean(self, values: Tensor) -> Tensor:
        """The mean over ranks, without gradient."""
        values = values.detach()
        if self.world > 1:
            values = values.clone()
            dist.all_reduce(values)
            values /= self.world
        return values

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """The others enter when the main rank has left: it makes files that they then read."""
        if self.world > 1 and not self.main:
            dist.barrier()
        yield
        if self.world > 1 and self.main:
            dist.barrier()

    def with_joint_norms(self, network: ModuleT) -> ModuleT:
        """`network` with the joint batch's statistics in its BatchNorms; same parameters, same names."""
        return network if self.world == 1 else with_joint_norms(network)

    def parallel(self, network: nn.Module) -> nn.Module:
        """`network`, its gradients averaged over the ranks during backward."""
        if self.world == 1:
            return network
        return DistributedDataParallel(network, gradient_as_bucket_view=True)


ALONE = Ranks()


@contextmanager
def joined(device: str) -> Iterator[tuple[Ranks, torch.device]]:
    """The ranks that torchrun started, and this one's device; outside torchrun, one process."""
    if "WORLD_SIZE" not in os.environ:
        yield ALONE, choose_device(device)
        return
    chosen = _own_device(choose_device(device))
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=_PATIENCE)
    ranks = Ranks(dist.get_rank(), dist.get_world_size())
    if not ranks.main:
        logging.getLogger("training").setLevel(logging.ERROR)  # the main one says it
    yield ranks, chosen
    dist.destroy_process_group()  # not after an error: it could wait for ranks that wait for this one


def refuse_processes(command: str) -> None:
    """For commands that know one process only: under torchrun each would do the same work. Raises ConfigError."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(f"`{command}` runs in one process: start it without torchrun")


def _own_device(device: torch.device) -> torch.device:
    if device.type != "cuda":
        return device
    number, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if number >= there:
        raise DeviceError(
            f"{there} GPUs are here for more processes: start at most as many (--nproc-per-node)"
        )
    torch.cuda.set_device(number)
    return torch.device("cuda", number)


class _Gather(torch.autograd.Function):
    """Backward keeps the own rows only, times the number of ranks: every rank has the same loss, and DDP averages."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, rank: int, world: int) -> Tensor:
        ctx.rank, ctx.world = rank, world  # type: ignore[attr-defined]
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world)]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None, None]:
        rank, world = ctx.rank, ctx.world  # type: ignore[attr-defined]
        return world * gradients[0].chunk(world)[rank], None, None
