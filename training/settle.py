"""Before the first step from other weights: statistics for norms that have none, classes for a new classifier.

A bundle's BatchNorms come back as neutral ones (`training.export.unpack`). Here they get the mean and variance of
what they see, with weight and bias such that the network still computes the same: it can be trained on from there.
A classifier for other people starts with each person's mean embedding (weight imprinting: Qi et al., CVPR 2018)
instead of noise, at a scale where it is neither unsure nor too sure: either would let the first steps spoil what the
embedder knows. (At unit scale the shipped weights' first losses collapsed GALN onto one group within 40 steps.)
"""

import logging
import math
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
_SURE = 0.9


@torch.no_grad()
def settle(start: Start, pairs: Pairs, device: torch.device, precision: Precision) -> None:
    """What `start` still lacks, from a few pairs of every identity, without augmentation. In place."""
    if not (start.lacks_statistics or start.lacks_classes):
        return
    network = channels_last(start.network.to(device)).eval()
    store, chosen = PairStore(pairs, device), first_of_each(pairs.labels, _PER_IDENTITY)
    log.info("settling %s: %d pairs", _what(start), len(chosen))
    features, labels = [], []
    with _watched(network.embedder if start.lacks_statistics else nn.Identity()) as seen:
        for first in range(0, len(chosen), _BATCH):
            part = torch.tensor(chosen[first : first + _BATCH])
            untouched = Draws(torch.zeros(len(part), 7, dtype=torch.int64), padding=0)
            hr, sr, of = store.batch(part.numpy(), untouched)
            sides: tuple[tuple[Branch, Tensor], ...] = (("hr", hr), ("sr", sr))
            for branch, images in sides:
                features.append(_classified(network, images, branch, device, precision))
                labels.append(of)
    for norm, moments in seen.items():
        moments.put_into(norm)
    if start.lacks_classes:
        weight = imprinted(torch.cat(features), torch.cat(labels), len(network.classifier.weight))
        network.classifier.weight.copy_(weight)
    network.train()


def imprinted(features: Tensor, labels: Tensor, identities: int) -> Tensor:
    """A bias-free classifier (identities, D) of BNNeck features (M, D), at least one for every label (M,).

    Each class has the direction of its mean feature. The scale is the one at which the mean lead of the right logit
    over the others gives it a probability of 0.9, but rows are of unit length at most: features that do not tell the
    people apart are no reason to be sure.
    """
    unit = F.normalize(features, dim=1)
    sums = torch.zeros(identities, features.shape[1], device=features.device).index_add_(0, labels, unit)
    weight = F.normalize(sums, dim=1)
    logits = features @ weight.T  # (M, identities)
    right = logits.gather(1, labels.unsqueeze(1)).squeeze(1)
    others = (logits.sum(dim=1) - right) / (identities - 1)
    lead = math.log(_SURE / (1 - _SURE) * (identities - 1))
    return weight * (lead / max(float((right - others).mean()), lead))


def first_of_each(labels: Sequence[int], count: int) -> list[int]:
    """The positions of the first `count` pairs of every label, in order."""
    taken: dict[int, int] = {}
    chosen = []
    for position, label in enumerate(labels):
        taken[label] = taken.get(label, 0) + 1
        if taken[label] <= count:
            chosen.append(position)
    return chosen


def _classified(
    network: DGRL, images: Tensor, branch: Branch, device: torch.device, precision: Precision
) -> Tensor:
    """What the classifier sees: the BNNeck's output, float32 (B, D)."""
    embedder = network.embedder
    with autocast(device, precision):
        feature, _ = embedder.head(embedder.trunk(embedder.stem(branch)(images)).layer4)
        neck: Tensor = embedder.head.neck(feature)
    return neck.float()


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
