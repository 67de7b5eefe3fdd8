"""What the two trainings put into an estimate."""

import copy
import json
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
from training.estimate import (
    LIBRARIES,
    Estimate,
    Loss,
    Network,
    kept_for_backward,
    seconds_per_step,
    timed,
    weights,
)
from training.losses.total import total_loss
from training.optimiser import make_optimiser
from training.packed import Size
from training.pair_store import fits
from training.room import free_memory
from training.sampler import PKSampler
from training.super_resolve import bucket, enlarged_batch

_TRIED = 8  # images that RCAN is timed on, per scale


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


def estimate_dgrl(
    recipe: DGRLRecipe,
    network: DGRL,
    labels: Sequence[int],
    unmade: Unmade,
    rcan: RCAN | None,
    folder: Path,
    device: torch.device,
    *,
    world: int = 1,
) -> Estimate:
    """`labels` are those of the pairs; one of `world` processes sees its part of a batch."""
    sampler = PKSampler(
        labels,
        identities_per_batch=recipe.identities_per_batch,
        per_identity=recipe.pairs_per_identity,
        seed=recipe.seed,
    )
    steps = max(1, round(recipe.epochs * sampler.steps_per_epoch))
    loss = _dgrl_loss(recipe, max(1, sampler.identities // world), device)
    own = weights(network) * (1 + (2 if recipe.optimiser.kind == "adamw" else 1) + (recipe.ema > 0))
    memory = LIBRARIES + own + weights(network) + kept_for_backward(lambda: DGRL(recipe.model), [loss])
    pixels = 2 * len(labels) * recipe.model.height * recipe.model.width * 3
    if device.type == "cuda" and fits(pixels, torch.cuda.get_device_properties(device).total_memory):
        memory += pixels
    tried = channels_last(copy.deepcopy(network).to(device)).train()
    forward = torch.compile(tried) if recipe.compile else tried
    return Estimate(
        steps=max(0, steps - _done(folder)),
        per_step=seconds_per_step(forward, make_optimiser(recipe.optimiser, tried), [loss], device),
        before=unmade.seconds(rcan, recipe.hr_reference, device),
        memory=memory,
        memory_free=free_memory(device),
        disk=[(unmade.cache, unmade.bytes), (folder, 2 * own + weights(network))],
    )


def estimate_rcan(
    recipe: RCANRecipe, images: int, unmade: Unmade, folder: Path, device: torch.device
) -> Estimate:
    """`images` are trained on."""
    losses = [_rcan_loss(recipe, scale, device) for scale in recipe.model.scales]
    tried = channels_last(RCAN(recipe.model).to(device)).train()
    own = 3 * weights(tried)  # with Adam's two moments
    optimiser = torch.optim.Adam(tried.parameters(), recipe.rate, fused=True)
    steps = max(1, round(recipe.epochs * images / recipe.batch))
    return Estimate(
        steps=max(0, steps - _done(folder)),
        per_step=seconds_per_step(tried, optimiser, losses, device),
        before=0.0,
        memory=LIBRARIES + own + weights(tried) + kept_for_backward(lambda: RCAN(recipe.model), losses),
        memory_free=free_memory(device),
        disk=[(unmade.cache, unmade.bytes), (folder, 2 * own + weights(tried))],
    )


def _dgrl_loss(recipe: DGRLRecipe, identities: int, device: torch.device) -> Loss:
    shape = (identities * recipe.pairs_per_identity, 3, recipe.model.height, recipe.model.width)

    def loss(network: Network) -> Tensor:
        hr, sr = (_random(shape, device) for _ in range(2))
        labels = torch.arange(identities, device=device).repeat_interleave(recipe.pairs_per_identity)
        with autocast(device, recipe.precision):
            output = network(hr, sr)
        return total_loss(output, labels, recipe.losses).total

    return loss


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
            return int(json.loads((file.metadata() or {}).get("step", "0")))
    except (OSError, SafetensorError):
        return 0
