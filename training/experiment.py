"""From a dataset's manifest to a finished run: caches, networks, training, and the record of how it was made."""

import dataclasses
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from model.rcan import RCAN
from training.config import FROM_DATA, ConfigError, DGRLRecipe, RCANRecipe
from training.data.manifest import RUN_MANIFEST, Entry, Manifest, read_manifest, write_manifest
from training.data.records import DatasetError
from training.distributed import ALONE, Ranks
from training.native_pairs import native_pairs
from training.packed import high_resolution
from training.pair_store import Pairs
from training.record import RECORD_NAME, described, make_record
from training.start import Start
from training.super_resolution_quality import Quality
from training.super_resolve import Enlargement, super_resolved
from training.train_dgrl import train_dgrl
from training.train_rcan import RCANData, train_rcan

log = logging.getLogger("training")

QUALITY_NAME = "quality.json"
_HELD_OUT = 512  # images of test identities that RCAN's PSNR is measured on


@dataclass(frozen=True, slots=True)
class Data:
    """A dataset under a manifest, and where decoded images are kept."""

    root: Path
    manifest: Manifest
    cache: Path


def run_rcan(recipe: RCANRecipe, data: Data, folder: Path, device: torch.device) -> dict[int, Quality]:
    """Train RCAN on the training identities; quality per scale on images of test identities, also as a file."""
    if data.manifest.has_native_pairs:
        raise ConfigError(
            f"{data.manifest.name}: its low-resolution images are real and none is super-resolved: "
            "there is no RCAN to train; go on with `dgrl-train dgrl`"
        )
    _start(folder, data.manifest)
    size = (recipe.height, recipe.width)
    sharp = data.manifest.of("gallery" if data.manifest.protocol == "native" else "probe")
    held_out = sharp[:: max(1, len(sharp) // _HELD_OUT)]
    images = RCANData(
        train=high_resolution(data.root, data.manifest, data.manifest.of("train"), size, data.cache),
        held_out=high_resolution(data.root, data.manifest, held_out, size, data.cache),
    )
    quality = train_rcan(recipe, images, folder, device)
    found = {f"x{scale}": dataclasses.asdict(figures) for scale, figures in quality.items()}
    named = {"data": described(data.manifest), "recipe": recipe.name, "images": len(held_out), **found}
    (folder / QUALITY_NAME).write_text(json.dumps(named, indent=2) + "\n", encoding="utf-8")
    return quality


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
) -> Path:
    """Train DGRL on HR/SR pairs; the weights' path. A record for the exporter is written beside them.

    `recipe` has the data's identities. `enlarge` is None for a set with native pairs, and only there.
    """
    with ranks.main_first():  # it makes the caches
        if ranks.main:
            _start(folder, data.manifest)
        pairs = make_pairs(recipe, data, enlarge, device)
    weights = train_dgrl(recipe, start.network, pairs, folder, device, ranks)
    if ranks.main:
        record = make_record(recipe, data.manifest, start, rcan_weights, device)
        (folder / RECORD_NAME).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return weights


def check_enlargement(manifest: Manifest, rcan: Path | None, bilinear: bool) -> None:
    """Raises ConfigError unless it is clear what makes the SR twins."""
    if not manifest.has_native_pairs:
        if (rcan is None) != bilinear:
            raise ConfigError("give either --rcan WEIGHTS or --bilinear")
    elif rcan is not None or bilinear:
        raise ConfigError(
            f"{manifest.name}: its low-resolution images are real and go into the network as they are: "
            "leave out --rcan and --bilinear"
        )


def make_pairs(recipe: DGRLRecipe, data: Data, enlarge: Enlargement | None, device: torch.device) -> Pairs:
    """Decoded HR crops and their SR twins, or a native set's two sides, from the caches where they are there."""
    size = (recipe.model.height, recipe.model.width)
    if enlarge is None:
        near, far = native_pairs(data.manifest)
        hr, sr = (high_resolution(data.root, data.manifest, e, size, data.cache) for e in (near, far))
        return Pairs(hr, sr, _labels(near))
    entries = data.manifest.of("train")
    hr = high_resolution(data.root, data.manifest, entries, size, data.cache)
    sr = super_resolved(
        data.root,
        data.manifest,
        entries,
        enlarge,
        reference=recipe.hr_reference,
        size=size,
        cache=data.cache,
        device=device,
    )
    return Pairs(hr, sr, _labels(entries))


def describe_rcan(network: RCAN) -> str:
    """One line on a super-resolver."""
    count = sum(p.numel() for p in network.parameters())
    return f"RCAN for x{', x'.join(map(str, network.config.scales))}: {count:,} parameters"


def _start(folder: Path, manifest: Manifest) -> None:
    """The run's folder names its manifest, for evaluation to use. Raises DatasetError where it can't."""
    if not manifest.of("train"):
        raise DatasetError(f"{manifest.name}: the manifest has no training images")
    path = folder / RUN_MANIFEST
    if path.is_file() and read_manifest(path).digest != manifest.digest:
        raise DatasetError(
            f"{path}: this run was started on other images ({described(read_manifest(path))}); "
            "go on with those (--manifest), or choose another folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(manifest, path)


def _labels(entries: Sequence[Entry]) -> list[int]:
    numbers = {identity: n for n, identity in enumerate(sorted({entry.identity for entry in entries}))}
    return [numbers[entry.identity] for entry in entries]
