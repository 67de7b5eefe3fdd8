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
from training.best import Best
from training.checkpoint import STATE_NAME, Progressed, load_state, save_state
from training.config import RCANRecipe, as_json
from training.device import autocast, channels_last
from training.finite import FiniteWatch, check_weights
from training.optimiser import set_rate
from training.progress import Progress
from training.scaled_pairs import ScaledPairs
from training.schedule import cosine, halving
from training.seeds import numpy_generator
from training.start import rcan_from
from training.super_resolution_quality import measure

WEIGHTS_NAME = "rcan.safetensors"
FINAL_NAME = "rcan-final.safetensors"


@dataclass(frozen=True, slots=True)
class RCANData:
    """HR images at the recipe's reference size: uint8 (N, height, width, 3). No identity is in both.

    `validation` decides which weights are the best; it is of training identities, too.
    """

    train: Pixels
    validation: Pixels


def train_rcan(
    recipe: RCANRecipe, data: RCANData, folder: Path, device: torch.device, start: Path | None = None
) -> int:
    """Train, or go on from `folder`'s checkpoint; the number of steps after which the validation PSNR was highest.

    Those weights end up as rcan.safetensors, with best.json beside them; the last ones as rcan-final.safetensors. A
    new run begins with the weights of `start`, if given. Raises TrainingFailed, WeightsError, and CheckpointError
    where `folder` holds another recipe's run.
    """
    torch.manual_seed(recipe.seed)
    network = rcan_from(recipe.model, recipe.seed, start) if start else RCAN(recipe.model)
    network = channels_last(network.to(device))
    optimiser = torch.optim.Adam(network.parameters(), recipe.rate, betas=(0.9, 0.999), fused=True)
    steps = max(1, round(recipe.epochs * len(data.train) / recipe.batch))
    folder.mkdir(parents=True, exist_ok=True)
    state, described = folder / STATE_NAME, as_json(recipe)
    defaults = as_json(RCANRecipe())
    resumed = state.is_file()
    first = load_state(state, {"model": network}, optimiser, described, defaults) if resumed else 0
    pairs = ScaledPairs(data.train, recipe.model.scales, device)
    best, watch = Best(folder, WEIGHTS_NAME, fresh=not resumed), FiniteWatch()
    saved = time.monotonic()
    with Progress(folder, steps=steps, first=first, every=recipe.log_steps) as progress:
        for step in range(first, steps):
            rate = (cosine if recipe.schedule == "cosine" else halving)(step, steps, recipe.rate)
            set_rate(optimiser, rate)
            scale, low, high = _batch(recipe, pairs, len(data.train), step)
            with autocast(device, recipe.precision):
                enlarged = network(low, scale)
            loss = F.l1_loss(enlarged.float(), high)
            watch.note(step, ["l1"], loss.detach().reshape(1))
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            progress.count(recipe.batch)
            if progress.due(step):
                watch.check(wait=True)
                progress.report(step, {"l1": loss.item(), "scale": scale, "rate": rate})
            if (step + 1) % recipe.measure_steps == 0 or step + 1 == steps:
                watch.check(wait=True)
                check_weights(step + 1, network.parameters())
                best.offer(step + 1, network, measure(network, data.validation, device))
            if time.monotonic() - saved > 60 * recipe.checkpoint_minutes:
                watch.check(wait=True)
                check_weights(step + 1, network.parameters())
                save_state(state, {"model": network}, optimiser, Progressed(step + 1, described))
                saved = time.monotonic()
    save_state(state, {"model": network}, optimiser, Progressed(steps, described))
    save_weights(folder / FINAL_NAME, network)
    return best.step()


def _batch(recipe: RCANRecipe, pairs: ScaledPairs, images: int, step: int) -> tuple[int, Tensor, Tensor]:
    """One scale a step, in turn: the scale, LR (B, 3, h, w) and HR (B, 3, scale*h, scale*w) in 0..255."""
    scale = recipe.model.scales[step % len(recipe.model.scales)]
    random = numpy_generator(recipe.seed, "rcan batch", step)
    chosen = np.sort(random.choice(images, recipe.batch, replace=recipe.batch > images))
    return scale, *pairs.batch(scale, chosen, flip=random.random() < 0.5)
