"""From a dataset's manifest to a finished run: caches, networks, training, and the record of how it was made."""

import dataclasses
import json
import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from model.rcan import RCAN
from model.weights import load_rcan
from training.checkpoint import STATE_NAME
from training.config import FROM_DATA, ConfigError, DGRLRecipe, RCANRecipe
from training.data.manifest import RUN_MANIFEST, Manifest, read_manifest, write_manifest
from training.data.records import DatasetError
from training.data.trained_on import (
    TRAINED_ON,
    TrainedOn,
    of_manifest,
    of_weights,
    read_trained_on,
    write_trained_on,
)
from training.data.validation import check_division, divide, spread, write_division
from training.distributed import ALONE, Ranks
from training.estimate import DGRLRun, RCANRun, Unmade
from training.packed import high_resolution
from training.pairs import Data, make_pairs, pair_labels, unmade, unmade_pairs
from training.record import RECORD_NAME, described, make_record
from training.settle import settle
from training.start import Start
from training.super_resolution_quality import Quality, measure
from training.super_resolve import Enlargement
from training.train_dgrl import train_dgrl
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
    _check(folder, data.manifest)
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
    _start(folder, data.manifest, [start])
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


def _by_scale(quality: dict[int, Quality]) -> dict[str, object]:
    return {f"x{scale}": dataclasses.asdict(figures) for scale, figures in quality.items()}


def with_identities(recipe: DGRLRecipe, manifest: Manifest) -> DGRLRecipe:
    """The recipe with as many identities as the training set has, unless it names a number. ConfigError if wrong."""
    found = len({entry.identity for entry in manifest.of("train")})
    if recipe.model.identities == FROM_DATA:
        log.info("%s has %d training identities: the classifiers have as many", manifest.name, found)
        return dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, identities=found))
    if recipe.model.identities != found:
        raise ConfigError(
            f"{manifest.name} has {found} training identities, the recipe's model.identities is "
            f"{recipe.model.identities}; leave it out to take the number from the data"
        )
    return recipe


def run_dgrl(
    recipe: DGRLRecipe,
    data: Data,
    start: Start,
    enlarge: Enlargement | None,
    rcan_weights: Path | None,
    folder: Path,
    device: torch.device,
    ranks: Ranks = ALONE,
    *,
    started_from: Path | None = None,
    force: bool = False,
) -> Path:
    """Train DGRL on HR/SR pairs; the weights' path. A record for the exporter is written beside them.

    `recipe` has the data's identities. `enlarge` is None for a set with native pairs, and only there. `started_from`
    is the file or bundle that `start` comes from, if people's images are in it.
    What the run will take is said first. Raises NotEnoughRoom, unless `force`.
    """
    if recipe.losses.mutual and not recipe.model.side_branches:
        raise ConfigError(
            f"recipe {recipe.name!r}: the KL term compares branches: set losses.mutual = 0 where "
            "model.side_branches is false"
        )
    with ranks.main_first():  # it makes the caches
        if ranks.main:
            _check(folder, data.manifest)
            labels, writes = pair_labels(data.manifest), unmade_pairs(recipe, data, enlarge)
            run = DGRLRun(recipe, start.network, labels, writes, folder, device, ranks.world)
            run.needs().check(device, force=force)
            log.info("%s", run.duration(enlarge if isinstance(enlarge, RCAN) else None))
            _start(folder, data.manifest, [started_from, rcan_weights])
        pairs = make_pairs(recipe, data, enlarge, device)
    if not (folder / STATE_NAME).is_file():
        settle(start, pairs, device, recipe.precision)
    weights = train_dgrl(recipe, start.network, pairs, folder, device, ranks)
    if ranks.main:
        record = make_record(recipe, data.manifest, start, rcan_weights, device)
        (folder / RECORD_NAME).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return weights


def describe_rcan(network: RCAN) -> str:
    """One line on a super-resolver."""
    count = sum(p.numel() for p in network.parameters())
    return f"RCAN for x{', x'.join(map(str, network.config.scales))}: {count:,} parameters"


def _check(folder: Path, manifest: Manifest) -> None:
    """Raises DatasetError where the run in `folder` cannot be on this manifest."""
    if not manifest.of("train"):
        raise DatasetError(
            f"{manifest.name}: the manifest has no training images; sort your own into folders train, probe and "
            "gallery (or a column split), or let --split 0 take half of the people"
        )
    path = folder / RUN_MANIFEST
    if path.is_file() and read_manifest(path).digest != manifest.digest:
        raise DatasetError(
            f"{path}: this run was started on other images ({described(read_manifest(path))}); "
            "go on with those (--manifest), or choose another folder"
        )


def _start(folder: Path, manifest: Manifest, made_of: Sequence[Path | None]) -> None:
    """The run's folder says on which images it trains, itself and by the weights that it is `made_of`."""
    trained = of_manifest(manifest)
    for weights in made_of:
        trained |= of_weights(weights) if weights else TrainedOn()
    if (folder / STATE_NAME).is_file() and (folder / TRAINED_ON).is_file():  # what it began with stays true
        trained = read_trained_on(folder / TRAINED_ON) | trained
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(manifest, folder / RUN_MANIFEST)
    write_trained_on(trained, folder)
