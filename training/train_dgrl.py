"""Train DGRL on HR/SR pairs: one readable loop for CPU and GPU, resumable at any step with the same curve."""

import logging
import time
from pathlib import Path

import torch
from torch import Tensor

from model.dgrl import DGRL, DGRLOutput
from model.weights import save_weights
from training.augment import draw
from training.average import Average
from training.checkpoint import STATE_NAME, Progressed, load_state, save_state
from training.collapse import CollapseWatch
from training.config import DGRLRecipe, as_json
from training.device import autocast, channels_last
from training.finite import FiniteWatch, check_weights
from training.group_use import GroupUse, group_use
from training.losses.total import Losses, total_loss
from training.optimiser import make_optimiser, set_rate
from training.pair_store import Pairs, PairStore
from training.progress import Progress
from training.sampler import PKSampler
from training.schedule import rate
from training.seeds import torch_generator
from training.step_clock import StepClock, data_share

log = logging.getLogger("training")

WEIGHTS_NAME = "dgrl.safetensors"


def train_dgrl(
    recipe: DGRLRecipe,
    network: DGRL,
    pairs: Pairs,
    folder: Path,
    device: torch.device,
    clock: StepClock | None = None,
) -> Path:
    """Train `network` in place, or go on from `folder`'s checkpoint; the path of the final weights.

    Those are the average's where the recipe has one (`ema`), with its BatchNorm statistics.
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
    average = Average(network, recipe.ema) if recipe.ema else None
    networks = {"model": network, "average": average.network} if average else {"model": network}
    folder.mkdir(parents=True, exist_ok=True)
    state, described = folder / STATE_NAME, as_json(recipe)
    defaults = as_json(DGRLRecipe())
    first = load_state(state, networks, optimiser, described, defaults) if state.is_file() else 0
    forward = torch.compile(network) if recipe.compile else network
    store, watch = PairStore(pairs, device), FiniteWatch()
    collapse = CollapseWatch(recipe.collapse, round(recipe.optimiser.warmup_epochs * sampler.steps_per_epoch))
    saved = time.monotonic()
    with Progress(folder, steps=steps, first=first, every=recipe.log_steps) as progress:
        for step in range(first, steps):
            clock.begin()
            now = rate(recipe.optimiser, step, steps, sampler.steps_per_epoch)
            set_rate(optimiser, now)
            chosen = sampler.batch(step)
            draws = draw(
                len(chosen), store.size, recipe.augment, torch_generator(recipe.seed, "augment", step)
            )
            hr, sr, labels = store.batch(chosen, draws)
            clock.lap("data")
            with autocast(device, recipe.precision):
                output: DGRLOutput = forward(hr, sr)
            losses = total_loss(output, labels, recipe.losses)
            clock.lap("forward")
            watch.note(step, {"loss": losses.total} | losses.terms)
            optimiser.zero_grad()
            losses.total.backward()  # type: ignore[no-untyped-call]
            clock.lap("backward")
            optimiser.step()
            if average:
                average.update(step)
            clock.lap("optimiser")
            progress.count(2 * len(labels))
            if progress.due(step):
                watch.check(wait=True)
                uses = _group_uses(output)
                figures = _figures(losses, output, labels) | _shown(uses)
                progress.report(step, figures | {"rate": now, "data share": data_share(clock.read())})
                collapse.report(step, uses)
            if time.monotonic() - saved > 60 * recipe.checkpoint_minutes:
                watch.check(wait=True)
                check_weights(step + 1, network.parameters())
                if not collapse.suspects(_group_uses(output)):
                    save_state(state, networks, optimiser, Progressed(step + 1, described))
                saved = time.monotonic()
    check_weights(steps, network.parameters())
    save_state(state, networks, optimiser, Progressed(steps, described))
    if average:
        log.info("final weights: the average of weights and BatchNorm statistics, decay %g", recipe.ema)
    save_weights(folder / WEIGHTS_NAME, average.network if average else network)
    return folder / WEIGHTS_NAME


def _figures(losses: Losses, output: DGRLOutput, labels: Tensor) -> dict[str, float]:
    """What the log shows: terms, and training accuracy of the main branch."""
    main = output.branches[0]
    accuracy = (main.logits.argmax(1) == torch.cat([labels, labels])).float().mean()
    figures = {"loss": losses.total} | losses.terms | {"accuracy": accuracy}
    values = torch.stack(list(figures.values())).tolist()  # one wait for the GPU
    return dict(zip(figures, values, strict=True))


def _group_uses(output: DGRLOutput) -> dict[str, GroupUse]:
    """How each branch uses its groups; none without GALN."""
    named = zip(("main", "side2", "side3"), output.branches, strict=False)
    return {name: group_use(branch.groups) for name, branch in named if branch.groups is not None}


def _shown(uses: dict[str, GroupUse]) -> dict[str, float]:
    shown: dict[str, float] = {}
    for name, use in uses.items():
        figures = {"entropy": use.entropy, "effective groups": use.effective, "groups": use.used}
        shown |= {f"{figure} {name}": value for figure, value in figures.items()}
    return shown
