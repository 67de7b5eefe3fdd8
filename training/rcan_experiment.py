"""From a dataset's manifest to a trained RCAN, and how good it is on test identities."""

import dataclasses
import json
import logging
from pathlib import Path

import torch

from model.rcan import RCAN
from model.weights import load_rcan
from training.checkpoint import STATE_NAME
from training.config import ConfigError, RCANRecipe
from training.data.validation import check_division, divide, spread, write_division
from training.estimate import RCANRun, Unmade
from training.packed import high_resolution
from training.pairs import Data, unmade
from training.record import described
from training.run_folder import check_folder, start_folder
from training.super_resolution_quality import Quality, measure
from training.train_rcan import FINAL_NAME, WEIGHTS_NAME, RCANData, train_rcan

log = logging.getLogger("training")

QUALITY_NAME = "quality.json"


def run_rcan(
    recipe: RCANRecipe,
    data: Data,
    folder: Path,
    device: torch.device,
    start: Path | None = None,
    *,
    force: bool = False,
) -> dict[str, dict[int, Quality]]:
    """Train RCAN on training identities; the quality per scale of the best and of the last weights, by file name.

    The best are chosen on images of training identities that are held out of the training. The quality is that on
    images of test identities, found once at the end, and a file, too. A new run begins with the weights of `start`,
    if given. What it will take is said first. Raises NotEnoughRoom, unless `force`.
    """
    if data.manifest.has_native_pairs:
        raise ConfigError(
            f"{data.manifest.name}: its low-resolution images are real and none is super-resolved: "
            "there is no RCAN to train; go on with `dgrl-train dgrl`"
        )
    check_folder(folder, data.manifest)
    division = divide(data.manifest)
    if (folder / STATE_NAME).is_file():
        check_division(division, folder)
    log.info("held out of training, to choose the best weights: %s", division)
    size = (recipe.height, recipe.width)
    test = spread(data.manifest.of("gallery" if data.manifest.protocol == "native" else "probe"))
    sides = (division.train, division.validation, test)
    writes = Unmade(data.cache, sum(unmade(data, side, size) for side in sides), size)
    run = RCANRun(recipe, len(division.train), writes, folder, device)
    run.needs().check(device, force=force)
    log.info("%s", run.duration())
    start_folder(folder, data.manifest, [start])
    write_division(division, folder)
    train, validation, tested = (
        high_resolution(data.root, data.manifest, side, size, data.cache) for side in sides
    )
    step = train_rcan(recipe, RCANData(train, validation), folder, device, start)
    quality = {
        name: measure(load_rcan(folder / name).to(device), tested, device)
        for name in (WEIGHTS_NAME, FINAL_NAME)
    }
    best, last = (_by_scale(found) for found in quality.values())
    named = {
        "data": described(data.manifest),
        "recipe": recipe.name,
        "best_step": step,
        "best_chosen_on": division.described,
        "images": len(test),
        **best,
        "last": last,
    }
    (folder / QUALITY_NAME).write_text(json.dumps(named, indent=2) + "\n", encoding="utf-8")
    return quality


def describe_rcan(network: RCAN) -> str:
    """One line on a super-resolver."""
    count = sum(p.numel() for p in network.parameters())
    return f"RCAN for x{', x'.join(map(str, network.config.scales))}: {count:,} parameters"


def _by_scale(quality: dict[int, Quality]) -> dict[str, object]:
    return {f"x{scale}": dataclasses.asdict(figures) for scale, figures in quality.items()}
