"""From a dataset's manifest to a trained DGRL: caches, network, training, and the record of how it was made."""

import dataclasses
import logging
from pathlib import Path

import torch

from model.rcan import RCAN
from training.checkpoint import STATE_NAME
from training.config import FROM_DATA, ConfigError, DGRLRecipe
from training.data.manifest import Manifest
from training.distributed import ALONE, Ranks
from training.estimate import DGRLRun
from training.pairs import Data, make_pairs, pair_labels, unmade_pairs
from training.record import RECORD_NAME, make_record
from training.run_folder import check_folder, start_folder
from training.settle import settle
from training.start import Start
from training.super_resolve import Enlargement
from training.train_dgrl import train_dgrl

log = logging.getLogger("training")


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
            check_folder(folder, data.manifest)
            labels, writes = pair_labels(data.manifest), unmade_pairs(recipe, data, enlarge)
            run = DGRLRun(recipe, start.network, labels, writes, folder, device, ranks.world)
            run.needs().check(device, force=force)
            log.info("%s", run.duration(enlarge if isinstance(enlarge, RCAN) else None))
            start_folder(folder, data.manifest, [started_from, rcan_weights])
        pairs = make_pairs(recipe, data, enlarge, device)
    if not (folder / STATE_NAME).is_file():
        settle(start, pairs, device, recipe.precision)
    weights = train_dgrl(recipe, start.network, pairs, folder, device, ranks)
    if ranks.main:
        record = make_record(recipe, data.manifest, start, rcan_weights, device)
        (folder / RECORD_NAME).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return weights
