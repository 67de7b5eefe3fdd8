"""What a finished training says of itself: for the exporter and the bundle's manifest, and for evaluation."""

import dataclasses
import platform
from collections.abc import Sequence
from pathlib import Path

import torch
from pydantic import ValidationError

from model.bundle.manifest import TrainingRecord, sha256_of
from training.config import ConfigError, DGRLRecipe
from training.data.manifest import Manifest
from training.data.sources import Source
from training.export.unpack import bundle_at
from training.start import Start

RECORD_NAME = "record.json"
RESEARCH = "Trained on images of people released for research: weights for research use only."
OWN = "Trained on images of one's own: the conditions that those images came under hold for the weights."


def make_record(
    recipe: DGRLRecipe, manifest: Manifest, start: Start, rcan_weights: Path | None, device: torch.device
) -> TrainingRecord:
    entries = manifest.of("train")
    return TrainingRecord(
        data=described(manifest),
        terms=OWN if Source.of(manifest.dataset) is Source.OWN else RESEARCH,
        recipe=recipe.name,
        started_from=start.source,
        device=torch.cuda.get_device_name() if device.type == "cuda" else f"CPU ({platform.machine()})",
        hr_reference=recipe.hr_reference,
        details={
            "identities": len({entry.identity for entry in entries}),
            "images": len(entries),
            "epochs": recipe.epochs,
            "pairs per batch": recipe.identities_per_batch * recipe.pairs_per_identity,
            "optimiser": recipe.optimiser.kind,
            "rate": recipe.optimiser.rate,
            "precision": recipe.precision,
            "seed": recipe.seed,
            "weights": _averaged(recipe.ema),
            "losses": _switches(dataclasses.asdict(recipe.losses), ("identity", "wrt", "shallow", "mutual")),
            "components": _switches(
                dataclasses.asdict(recipe.model), ("restormer", "non_local", "galn", "side_branches")
            ),
            "rcan": _made_by(manifest, rcan_weights),
        },
    )


def read_record(path: Path) -> TrainingRecord:
    """Raises ConfigError naming a file that is no record."""
    try:
        return TrainingRecord.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ConfigError(f"{path}: not a training record ({error})") from error


def described(manifest: Manifest) -> str:
    """One line that names the data."""
    return f"{manifest.name}, seed {manifest.seed}, manifest {manifest.digest[:16]}"


def _averaged(decay: float) -> str:
    return f"average of weights and BatchNorm statistics, decay {decay:g}" if decay else "of the last step"


def _made_by(manifest: Manifest, rcan_weights: Path | None) -> str:
    """What made the SR twins."""
    if manifest.has_native_pairs:
        return "none: native low-resolution images"
    return weights_identity(rcan_weights) if rcan_weights else "none: bilinear enlargement"


def weights_identity(weights: Path) -> str:
    """What names a weights file, or a bundle's folder, in records and reports: 16 hexadecimal digits."""
    return bundle_at(weights).manifest.bundle_id if weights.is_dir() else sha256_of(weights)[:16]


def _switches(values: dict[str, object], names: Sequence[str]) -> str:
    return ", ".join(name for name in names if values[name]) or "none"
