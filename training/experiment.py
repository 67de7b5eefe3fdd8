"""From a dataset's manifest to a finished run: caches, networks, training, and the record of how it was made."""

import dataclasses
import logging
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from model.bundle.manifest import TrainingRecord, sha256_of
from model.rcan import RCAN
from training.config import ConfigError, DGRLRecipe, RCANRecipe
from training.data.manifest import Entry, Manifest
from training.packed import high_resolution
from training.start import Start
from training.super_resolution_quality import Quality
from training.super_resolve import Enlargement, super_resolved
from training.train_dgrl import Pairs, train_dgrl
from training.train_rcan import RCANData, train_rcan

log = logging.getLogger("training")

RECORD_NAME = "record.json"
TERMS = "Trained on images of people released for research: weights for research use only."
_HELD_OUT = 512  # images of test identities that RCAN's PSNR is measured on


@dataclass(frozen=True, slots=True)
class Data:
    """A dataset under a manifest, and where decoded images are kept."""

    root: Path
    manifest: Manifest
    cache: Path


def run_rcan(recipe: RCANRecipe, data: Data, folder: Path, device: torch.device) -> dict[int, Quality]:
    """Train RCAN on the training identities; quality per scale on images of test identities."""
    size = (recipe.height, recipe.width)
    probes = data.manifest.of("probe")
    held_out = probes[:: max(1, len(probes) // _HELD_OUT)]
    images = RCANData(
        train=high_resolution(data.root, data.manifest, data.manifest.of("train"), size, data.cache),
        held_out=high_resolution(data.root, data.manifest, held_out, size, data.cache),
    )
    return train_rcan(recipe, images, folder, device)


def run_dgrl(
    recipe: DGRLRecipe,
    data: Data,
    start: Start,
    enlarge: Enlargement,
    rcan_weights: Path | None,
    folder: Path,
    device: torch.device,
) -> Path:
    """Train DGRL on HR/SR pairs; the weights' path. A record for the exporter is written beside them."""
    entries = data.manifest.of("train")
    pairs = make_pairs(recipe, data, entries, enlarge, device)
    if len(set(pairs.labels)) != recipe.model.identities:
        raise ConfigError(
            f"{data.manifest.name} has {len(set(pairs.labels))} training identities, "
            f"the recipe's model.identities is {recipe.model.identities}"
        )
    weights = train_dgrl(recipe, start.network, pairs, folder, device)
    record = make_record(recipe, data.manifest, start, rcan_weights, device)
    (folder / RECORD_NAME).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return weights


def make_pairs(
    recipe: DGRLRecipe, data: Data, entries: Sequence[Entry], enlarge: Enlargement, device: torch.device
) -> Pairs:
    """Decoded HR crops and their SR twins, from the caches where they are there."""
    size = (recipe.model.height, recipe.model.width)
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
    numbers = {identity: n for n, identity in enumerate(sorted({entry.identity for entry in entries}))}
    return Pairs(hr, sr, [numbers[entry.identity] for entry in entries])


def make_record(
    recipe: DGRLRecipe, manifest: Manifest, start: Start, rcan_weights: Path | None, device: torch.device
) -> TrainingRecord:
    """What the bundle's manifest says of the training."""
    entries = manifest.of("train")
    return TrainingRecord(
        data=f"{manifest.name}, seed {manifest.seed}, manifest {manifest.digest[:16]}",
        terms=TERMS,
        recipe=recipe.name,
        started_from=start.source,
        device=torch.cuda.get_device_name() if device.type == "cuda" else f"CPU ({platform.machine()})",
        details={
            "identities": len({entry.identity for entry in entries}),
            "images": len(entries),
            "epochs": recipe.epochs,
            "pairs per batch": recipe.identities_per_batch * recipe.pairs_per_identity,
            "optimiser": recipe.optimiser.kind,
            "rate": recipe.optimiser.rate,
            "precision": recipe.precision,
            "seed": recipe.seed,
            "losses": _switches(dataclasses.asdict(recipe.losses), ("identity", "wrt", "shallow", "mutual")),
            "components": _switches(
                dataclasses.asdict(recipe.model), ("restormer", "non_local", "galn", "side_branches")
            ),
            "rcan": sha256_of(rcan_weights)[:16] if rcan_weights else "none: bilinear enlargement",
        },
    )


def describe_rcan(network: RCAN) -> str:
    """One line on a super-resolver."""
    count = sum(p.numel() for p in network.parameters())
    return f"RCAN for x{', x'.join(map(str, network.config.scales))}: {count:,} parameters"


def _switches(values: dict[str, object], names: Sequence[str]) -> str:
    return ", ".join(name for name in names if values[name]) or "none"
