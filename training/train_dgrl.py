"""Train DGRL on HR/SR pairs: one readable loop for CPU and GPU, resumable at any step with the same curve."""

import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.bundle.manifest import Preprocessing
from model.bundle.preprocessing import Pixels
from model.dgrl import DGRL, DGRLOutput
from model.weights import save_weights
from training.augment import augment_pairs
from training.checkpoint import STATE_NAME, Progressed, load_state, save_state
from training.config import DGRLRecipe, as_json
from training.device import Normalise, autocast, channels_last, pixels_to_tensor
from training.failure import TrainingFailed
from training.group_use import group_use
from training.losses.total import Losses, total_loss
from training.optimiser import make_optimiser, set_rate
from training.progress import Progress
from training.sampler import PKSampler
from training.schedule import rate
from training.seeds import torch_generator
from training.step_clock import StepClock, data_share

log = logging.getLogger("training")

WEIGHTS_NAME = "dgrl.safetensors"


@dataclass(frozen=True, slots=True)
class Pairs:
    """The training set, decoded: HR and SR uint8 (N, H, W, 3), and labels 0..identities-1."""

    hr: Pixels
    sr: Pixels
    labels: list[int]


def train_dgrl(
    recipe: DGRLRecipe,
    network: DGRL,
    pairs: Pairs,
    folder: Path,
    device: torch.device,
    clock: StepClock | None = None,
) -> Path:
    """Train `network` in place, or go on from `folder`'s checkpoint; the path of the final weights.

    Raises TrainingFailed, and CheckpointError where `folder` holds another recipe's run.
    """
    clock = clock or StepClock(device)
    sampler = PKSampler(
        pairs.labels,
        identities_per_batch=recipe.identities_per_batch,
        per_identity=recipe.pairs_per_identity,
        seed=recipe.seed,
    )
    steps = max(1, round(recipe.epochs * sampler.steps_per_epoch))
    network = channels_last(network.to(device)).train()
    optimiser = make_optimiser(recipe.optimiser, network)
    folder.mkdir(parents=True, exist_ok=True)
    state, described = folder / STATE_NAME, as_json(recipe)
    first = load_state(state, network, optimiser, described) if state.is_file() else 0
    forward = torch.compile(network) if recipe.compile else network
    normalise = Normalise(Preprocessing(), device)
    saved = time.monotonic()
    with Progress(folder, steps=steps, first=first, every=recipe.log_steps) as progress:
        for step in range(first, steps):
            clock.begin()
            now = rate(recipe.optimiser, step, steps, sampler.steps_per_epoch)
            set_rate(optimiser, now)
            hr, sr, labels = _batch(recipe, pairs, sampler.batch(step), step, normalise, device)
            clock.lap("data")
            with autocast(device, recipe.precision):
                output: DGRLOutput = forward(hr, sr)
            losses = total_loss(output, labels, recipe.losses)
            clock.lap("forward")
            optimiser.zero_grad()
            losses.total.backward()  # type: ignore[no-untyped-call]
            clock.lap("backward")
            optimiser.step()
            clock.lap("optimiser")
            progress.count(2 * len(labels))
            if progress.due(step):
                figures = _figures(losses, output, labels, step)
                progress.report(step, figures | {"rate": now, "data share": data_share(clock.read())})
            if time.monotonic() - saved > 60 * recipe.checkpoint_minutes:
                save_state(state, network, optimiser, Progressed(step + 1, described))
                saved = time.monotonic()
    save_state(state, network, optimiser, Progressed(steps, described))
    save_weights(folder / WEIGHTS_NAME, network)
    return folder / WEIGHTS_NAME


def _batch(
    recipe: DGRLRecipe,
    pairs: Pairs,
    chosen: np.ndarray,
    step: int,
    normalise: Normalise,
    device: torch.device,
) -> tuple[Tensor, Tensor, Tensor]:
    hr, sr = (normalise(pixels_to_tensor(images[chosen], device)) for images in (pairs.hr, pairs.sr))
    hr, sr = augment_pairs(hr, sr, recipe.augment, torch_generator(recipe.seed, "augment", step))
    labels = torch.tensor([pairs.labels[i] for i in chosen], device=device)
    return hr, sr, labels


def _figures(losses: Losses, output: DGRLOutput, labels: Tensor, step: int) -> dict[str, float]:
    """What the log shows: terms, training accuracy of the main branch, and how the groups are used."""
    figures = {"loss": losses.total.item()} | {name: term.item() for name, term in losses.terms.items()}
    if not all(math.isfinite(value) for value in figures.values()):
        raise TrainingFailed(
            f"a loss is not finite at step {step + 1}: {figures}; lower the rate or use float32"
        )
    both = torch.cat([labels, labels])
    figures["accuracy"] = (output.branches[0].logits.argmax(1) == both).float().mean().item()
    for branch, name in zip(output.branches, ("main", "side2", "side3"), strict=False):
        if branch.groups is not None:
            use = group_use(branch.groups)
            figures |= {f"entropy {name}": use.entropy, f"groups {name}": use.used}
    return figures
