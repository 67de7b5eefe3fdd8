"""Before the first step from other weights: statistics for norms that have none, classes for a new classifier.

A bundle's BatchNorms come back as neutral ones (`training.export.unpack`). Here they get the mean and variance of
what they see, with weight and bias such that the network still computes the same: it can be trained on from there.
A classifier for other people starts with each person's mean embedding (weight imprinting: Qi et al., CVPR 2018)
instead of noise, so that the first steps do not spoil what the embedder knows.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.dgrl import DGRL
from model.embedder import Branch
from training.augment import Draws
from training.config import Precision
from training.device import autocast, channels_last
from training.pair_store import Pairs, PairStore
from training.start import Start

log = logging.getLogger("training")

_PER_IDENTITY = 4  # pairs
_BATCH = 48


@torch.no_grad()
def settle(start: Start, pairs: Pairs, device: torch.device, precision: Precision) -> None:
    """What `start` still lacks, from a few pairs of every identity, without augmentation. In place."""
    if not (start.lacks_statistics or start.lacks_classes):
        return
    network = channels_last(start.network.to(device)).eval()
    store, chosen = PairStore(pairs, device), first_of_each(pairs.labels, _PER_IDENTITY)
    log.info("settling %s: %d pairs", _what(start), len(chosen))
    sums = torch.zeros_like(network.classifier.weight)
    with _watched(network.embedder if start.lacks_statistics else nn.Identity()) as seen:
        for first in range(0, len(chosen), _BATCH):
            part = torch.tensor(chosen[first : first + _BATCH])
            untouched = Draws(torch.zeros(len(part), 7, dtype=torch.int64), padding=0)
            hr, sr, labels = store.batch(part.numpy(), untouched)
            sides: tuple[tuple[Branch, Tensor], ...] = (("hr", hr), ("sr", sr))
            for branch, images in sides:
                sums.index_add_(0, labels, _described(network, images, branch, device, precision))
    for norm, moments in seen.items():
        moments.put_into(norm)
    if start.lacks_classes:
        network.classifier.weight.copy_(F.normalize(sums, dim=1))
    network.train()


def first_of_each(labels: Sequence[int], count: int) -> list[int]:
    """The positions of the first `count` pairs of every label, in order."""
    taken: dict[int, int] = {}
    chosen = []
    for position, label in enumerate(labels):
        taken[label] = taken.get(label, 0) + 1
        if taken[label] <= count:
            chosen.append(position)
    return chosen


def _described(
    network: DGRL, images: Tensor, branch: Branch, device: torch.device, precision: Precision
) -> Tensor:
    """What the classifier sees, of unit length (B, D)."""
    with autocast(device, precision):
        return network.embedder(images, branch)  # type: ignore[no-any-return]


def _what(start: Start) -> str:
    parts = [("BatchNorm statistics", start.lacks_statistics), ("the classifier", start.lacks_classes)]
    return " and ".join(name for name, lacking in parts if lacking)


class Moments:
    """Mean and variance per channel of everything that a norm saw."""

    def __init__(self) -> None:
        self._count = 0
        self._sum: Tensor | float = 0.0
        self._squares: Tensor | float = 0.0

    def add(self, x: Tensor) -> None:
        """A map (B, C, H, W)."""
        values = x.detach().float()
        self._count += x.numel() // x.shape[1]
        self._sum = self._sum + values.sum(dim=(0, 2, 3)).double()
        self._squares = self._squares + values.square().sum(dim=(0, 2, 3)).double()

    def put_into(self, norm: nn.BatchNorm2d) -> None:
        """New statistics, and the weight and bias with which `norm` computes what it did. It has to be neutral."""
        mean = torch.as_tensor(self._sum / self._count)
        variance = (torch.as_tensor(self._squares / self._count) - mean.square()).clamp(min=0)
        norm.bias.add_(mean.to(norm.bias))
        norm.weight.copy_((variance + norm.eps).sqrt())
        assert norm.running_mean is not None and norm.running_var is not None
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)


@contextmanager
def _watched(module: nn.Module) -> Iterator[dict[nn.BatchNorm2d, Moments]]:
    """The moments of what passes through the norms inside `module`."""
    seen = {norm: Moments() for norm in module.modules() if isinstance(norm, nn.BatchNorm2d)}

    def note(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        seen[norm].add(inputs[0])

    hooks = [norm.register_forward_pre_hook(note) for norm in seen]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
