"""Train RCAN on whole HR images of training identities and their pixel-area low-resolution twins (L1, Adam)."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.bundle.preprocessing import Pixels
from model.rcan import RCAN
from model.weights import save_weights
from training.checkpoint import STATE_NAME, Progressed, load_state, save_state
from training.config import RCANRecipe, as_json
from training.data.area import area_downsample
from training.device import autocast, channels_last, pixels_to_tensor
from training.packed import fitted
from training.progress import Progress
from training.schedule import cosine, halving
from training.seeds import numpy_generator
from training.super_resolution_quality import Quality, measure

WEIGHTS_NAME = "rcan.safetensors"


@dataclass(frozen=True, slots=True)
class RCANData:
    """HR images at the recipe's reference size: uint8 (N, height, width, 3). No identity is in both."""

    train: Pixels
    held_out: Pixels


def train_rcan(recipe: RCANRecipe, data: RCANData, folder: Path, device: torch.device) -> dict[int, Quality]:
    """Train, or go on from `folder`'s checkpoint; the best weights by held-out PSNR end up in `folder`."""
    torch.manual_seed(recipe.seed)
    network = channels_last(RCAN(recipe.model).to(device))
    optimiser = torch.optim.Adam(network.parameters(), recipe.rate, betas=(0.9, 0.999), fused=True)
    steps = max(1, round(recipe.epochs * len(data.train) / recipe.batch))
    folder.mkdir(parents=True, exist_ok=True)
    state, described = folder / STATE_NAME, as_json(recipe)
    defaults = as_json(RCANRecipe())
    first = load_state(state, {"model": network}, optimiser, described, defaults) if state.is_file() else 0
    saved = time.monotonic()
    with Progress(folder, steps=steps, first=first, every=recipe.log_steps) as progress:
        for step in range(first, steps):
            rate = (cosine if recipe.schedule == "cosine" else halving)(step, steps, recipe.rate)
            for group in optimiser.param_groups:
                group["lr"] = rate
            scale, low, high = _batch(recipe, data.train, step, device)
            with autocast(device, recipe.precision):
                enlarged = network(low, scale)
            loss = F.l1_loss(enlarged.float(), high)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            progress.count(recipe.batch)
            if progress.due(step):
                progress.report(step, {"l1": _finite(loss, step), "scale": scale, "rate": rate})
            if time.monotonic() - saved > 60 * recipe.checkpoint_minutes:
                save_state(state, {"model": network}, optimiser, Progressed(step + 1, described))
                saved = time.monotonic()
    save_state(state, {"model": network}, optimiser, Progressed(steps, described))
    save_weights(folder / WEIGHTS_NAME, network)
    return measure(network, data.held_out, device)


def _batch(recipe: RCANRecipe, images: Pixels, step: int, device: torch.device) -> tuple[int, Tensor, Tensor]:
    """One scale a step, in turn: the scale, LR (B, 3, h, w) and HR (B, 3, scale*h, scale*w) in 0..255."""
    scale = recipe.model.scales[step % len(recipe.model.scales)]
    random = numpy_generator(recipe.seed, "rcan batch", step)
    chosen = np.sort(random.choice(len(images), recipe.batch, replace=recipe.batch > len(images)))
    high = np.ascontiguousarray(images[chosen])
    if random.random() < 0.5:
        high = np.ascontiguousarray(high[:, :, ::-1])
    low = area_downsample(high, scale)
    size = (low.shape[1] * scale, low.shape[2] * scale)
    target = np.stack([fitted(image, size) for image in high])
    return scale, pixels_to_tensor(low, device), pixels_to_tensor(target, device)


def _finite(loss: Tensor, step: int) -> float:
    value = loss.item()
    if not np.isfinite(value):
        raise FloatingPointError(
            f"the RCAN loss is {value} at step {step + 1}: lower the rate or use float32"
        )
    return value
