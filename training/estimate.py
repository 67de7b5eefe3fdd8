"""What the two trainings will take, said before they start."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor

from model.dgrl import DGRL
from model.rcan import RCAN
from training.checkpoint import STATE_NAME
from training.config import DGRLRecipe, RCANRecipe
from training.device import autocast, channels_last
from training.duration import Duration, seconds_per_step, timed
from training.losses.total import total_loss
from training.needs import LIBRARIES, Loss, Needs, Network, kept_for_backward, weights
from training.optimiser import make_optimiser
from training.packed import Size
from training.pair_store import fits, memory_of
from training.room import free_memory
from training.sampler import PKSampler
from training.super_resolve import bucket, enlarged_batch

_TRIED = 8  # images that RCAN is timed on, per scale
_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Unmade:
    """What is not yet in the folder `cache`: `images` of `size` to be written, `twins` of them by RCAN, per scale."""

    cache: Path
    images: int
    size: Size
    twins: Mapping[int, int] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return self.images * self.size[0] * self.size[1] * 3

    def seconds(self, rcan: RCAN | None, reference: Size, device: torch.device) -> float:
        """What RCAN takes; decoding is not counted."""
        if rcan is None:
            return 0.0
        tried = channels_last(copy.deepcopy(rcan).to(device).eval())
        return sum(
            count / _TRIED * _enlarging(tried, r, bucket(reference, r), device)
            for r, count in self.twins.items()
        )


@dataclass(frozen=True, slots=True)
class DGRLRun:
    """A DGRL training: `labels` of the pairs, and how many processes share a batch."""

    recipe: DGRLRecipe
    network: DGRL
    labels: Sequence[int]
    unmade: Unmade
    folder: Path
    device: torch.device
    world: int = 1

    def needs(self) -> Needs:
        own = weights(self.network) * (1 + self._moments + (self.recipe.ema > 0))
        kept = kept_for_backward(lambda: DGRL(self.recipe.model), [self._loss(_CPU)])
        pixels = 2 * len(self.labels) * self.recipe.model.height * self.recipe.model.width * 3
        resident = pixels if fits(pixels, memory_of(self.device)) else 0
        return Needs(
            memory=LIBRARIES + own + weights(self.network) + kept + resident,
            memory_free=free_memory(self.device),
            disk=[(self.unmade.cache, self.unmade.bytes), (self.folder, 2 * own + weights(self.network))],
        )

    def duration(self, rcan: RCAN | None) -> Duration:
        """`rcan` makes the SR twins."""
        tried = channels_last(copy.deepcopy(self.network).to(self.device)).train()
        forward = torch.compile(tried) if self.recipe.compile else tried
        optimiser = make_optimiser(self.recipe.optimiser, tried)
        steps = max(1, round(self.recipe.epochs * self._sampler.steps_per_epoch))
        return Duration(
            steps=max(0, steps - _done(self.folder)),
            per_step=seconds_per_step(forward, optimiser, [self._loss(self.device)], self.device),
            before=self.unmade.seconds(rcan, self.recipe.hr_reference, self.device),
        )

    @property
    def _moments(self) -> int:
        return 2 if self.recipe.optimiser.kind == "adamw" else 1

    @property
    def _sampler(self) -> PKSampler:
        return PKSampler(
            self.labels,
            identities_per_batch=self.recipe.identities_per_batch,
            per_identity=self.recipe.pairs_per_identity,
            seed=self.recipe.seed,
        )

    def _loss(self, device: torch.device) -> Loss:
        recipe, people = self.recipe, max(1, self._sampler.identities // self.world)
        shape = (people * recipe.pairs_per_identity, 3, recipe.model.height, recipe.model.width)

        def loss(network: Network) -> Tensor:
            hr, sr = (_random(shape, device) for _ in range(2))
            labels = torch.arange(people, device=device).repeat_interleave(recipe.pairs_per_identity)
            with autocast(device, recipe.precision):
                output = network(hr, sr)
            return total_loss(output, labels, recipe.losses).total

        return loss


@dataclass(frozen=True, slots=True)
class RCANRun:
    """An RCAN training on `images`."""

    recipe: RCANRecipe
    images: int
    unmade: Unmade
    folder: Path
    device: torch.device

    def needs(self) -> Needs:
        size = weights(RCAN(self.recipe.model))
        own = 3 * size  # with Adam's two moments
        return Needs(
            memory=LIBRARIES
            + own
            + size
            + self._pixels()
            + kept_for_backward(lambda: RCAN(self.recipe.model), self._losses(_CPU)),
            memory_free=free_memory(self.device),
            disk=[(self.unmade.cache, self.unmade.bytes), (self.folder, 2 * own + size)],
        )

    def duration(self) -> Duration:
        tried = channels_last(RCAN(self.recipe.model).to(self.device)).train()
        optimiser = torch.optim.Adam(tried.parameters(), self.recipe.rate, fused=True)
        steps = max(1, round(self.recipe.epochs * self.images / self.recipe.batch))
        return Duration(
            steps=max(0, steps - _done(self.folder)),
            per_step=seconds_per_step(tried, optimiser, self._losses(self.device), self.device),
        )

    def _pixels(self) -> int:
        """Bytes of the pairs where they lie (`ScaledPairs`); on a CPU those that are the cache's stay mapped."""
        whole, made = 0, 0
        for scale in self.recipe.model.scales:
            height, width = bucket((self.recipe.height, self.recipe.width), scale)
            low, high = (3 * self.images * height * width * factor for factor in (1, scale**2))
            whole += low + high
            cut = (height * scale, width * scale) != (self.recipe.height, self.recipe.width)
            made += low + high * cut
        if self.device.type == "cuda":
            return whole if fits(whole, memory_of(self.device)) else 0
        return made

    def _losses(self, device: torch.device) -> list[Loss]:
        return [_rcan_loss(self.recipe, scale, device) for scale in self.recipe.model.scales]


def _rcan_loss(recipe: RCANRecipe, scale: int, device: torch.device) -> Loss:
    height, width = bucket((recipe.height, recipe.width), scale)

    def loss(network: Network) -> Tensor:
        low = 255 * _random((recipe.batch, 3, height, width), device)
        with autocast(device, recipe.precision):
            enlarged = network(low, scale)
        return F.l1_loss(enlarged.float(), torch.zeros_like(enlarged, dtype=torch.float32))

    return loss


def _random(shape: Sequence[int], device: torch.device) -> Tensor:
    return torch.rand(*shape, device=device).contiguous(memory_format=torch.channels_last)


def _enlarging(rcan: RCAN, scale: int, size: Size, device: torch.device) -> float:
    """Seconds for `_TRIED` images."""
    images = np.zeros((_TRIED, *size, 3), np.uint8)
    return timed(lambda: enlarged_batch(rcan, images, scale, device), device)


def _done(folder: Path) -> int:
    """Steps that a run to be resumed has behind it; a checkpoint that cannot be read is the training's business."""
    try:
        with safe_open(folder / STATE_NAME, framework="pt") as file:
            return int((file.metadata() or {}).get("step", "0"))
    except (OSError, SafetensorError):
        return 0
