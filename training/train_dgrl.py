"""Train DGRL on HR/SR pairs: one readable loop for CPU and GPU, resumable at any step with the same curve."""

import logging
import time
from pathlib import Path

import torch

from model.dgrl import DGRL, DGRLOutput
from model.weights import save_weights
from training.augment import draw
from training.average import Average
from training.checkpoint import STATE_NAME, Progressed, load_state, save_state
from training.collapse import CollapseWatch
from training.config import DGRLRecipe, as_json
from training.device import autocast, channels_last
from training.distributed import ALONE, Ranks
from training.figures import figures, group_uses, shown
from training.finite import FiniteWatch, check_weights
from training.losses.total import total_loss
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
    ranks: Ranks = ALONE,
    clock: StepClock | None = None,
) -> Path:
    """Train `network` in place, or go on from `folder`'s checkpoint; the path of the final weights.

    Several ranks train on the joint batch as one process would; the main one writes. The final weights are the
    average's where the recipe has one (`ema`), with its BatchNorm statistics. Raises TrainingFailed, CheckpointError
    where `folder` holds a run by another recipe or on other twins, and ConfigError where a batch cannot be shared.
    """
    clock = clock or StepClock(device)
    sampler = PKSampler(
        pairs.labels,
        identities_per_batch=recipe.identities_per_batch,
        per_identity=recipe.pairs_per_identity,
        seed=recipe.seed,
    )
    steps = max(1, round(recipe.epochs * sampler.steps_per_epoch))
    part = ranks.part(sampler.identities, recipe.pairs_per_identity)
    network = ranks.with_joint_norms(channels_last(network.to(device)).train())
    optimiser = make_optimiser(recipe.optimiser, network)
    average = Average(network, recipe.ema) if recipe.ema else None
    networks = {"model": network, "average": average.network} if average else {"model": network}
    folder.mkdir(parents=True, exist_ok=True)
    twins = {"twins": pairs.twins}
    state, described, defaults = folder / STATE_NAME, as_json(recipe) | twins, as_json(DGRLRecipe()) | twins
    first = load_state(state, networks, optimiser, described, defaults) if state.is_file() else 0
    parallel = ranks.parallel(network)
    forward = torch.compile(parallel) if recipe.compile else parallel
    store, watch = PairStore(pairs, device), FiniteWatch()
    collapse = CollapseWatch(recipe.collapse, round(recipe.optimiser.warmup_epochs * sampler.steps_per_epoch))
    saved = time.monotonic()
    with Progress(
        folder, steps=steps, first=first, every=recipe.log_steps, silent=not ranks.main
    ) as progress:
        for step in range(first, steps):
            clock.begin()
            now = rate(recipe.optimiser, step, steps, sampler.steps_per_epoch)
            set_rate(optimiser, now)
            chosen = sampler.batch(step)
            random = torch_generator(recipe.seed, "augment", step)
            draws = draw(len(chosen), store.size, recipe.augment, random)  # the joint batch's, as chosen
            hr, sr, labels = store.batch(chosen[part], draws.of(part))
            clock.lap("data")
            with autocast(device, recipe.precision):
                output: DGRLOutput = forward(hr, sr)
            losses = total_loss(output, labels, recipe.losses, ranks)
            clock.lap("forward")
            watch.note(
                step, ["loss", *losses.terms], ranks.mean(torch.stack([losses.total, *losses.terms.values()]))
            )
            optimiser.zero_grad()
            losses.total.backward()  # type: ignore[no-untyped-call]
            clock.lap("backward")
            optimiser.step()
            if average:
                average.update(step)
            clock.lap("optimiser")
            progress.count(2 * len(chosen))
            if progress.due(step):
                watch.check(wait=True)
                uses = group_uses(output, ranks)
                found = figures(losses, output, labels, ranks) | shown(uses)
                progress.report(step, found | {"rate": now, "data share": data_share(clock.read())})
                collapse.report(step, uses)
            if ranks.main and time.monotonic() - saved > 60 * recipe.checkpoint_minutes:
                watch.check(wait=True)
                check_weights(step + 1, network.parameters())
                if not collapse.suspects(group_uses(output)):
                    save_state(state, networks, optimiser, Progressed(step + 1, described))
                saved = time.monotonic()
    with ranks.main_first():
        if ranks.main:
            check_weights(steps, network.parameters())
            save_state(state, networks, optimiser, Progressed(steps, described))
            if average:
                log.info(
                    "final weights: the average of weights and BatchNorm statistics, decay %g", recipe.ema
                )
            save_weights(folder / WEIGHTS_NAME, average.network if average else network)
    return folder / WEIGHTS_NAME
