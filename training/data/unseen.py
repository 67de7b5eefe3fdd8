"""Weights are not judged on images that they were trained on, as happens when random splits are mixed up."""

from collections.abc import Sequence
from pathlib import Path

from training.data.manifest import RUN_MANIFEST, Manifest
from training.data.records import DatasetError
from training.data.trained_on import TrainedOn, of_weights


def check_not_trained_on(weights: Sequence[Path], manifest: Manifest) -> TrainedOn:
    """What is known of the images that `weights` (files, or folders of bundles) were trained on.

    Raises DatasetError where a probe or gallery image of `manifest` is among them. Weights of which nothing is known
    are taken as they are.
    """
    tested = {entry.file: entry for side in ("probe", "gallery") for entry in manifest.of(side)}
    found = TrainedOn()
    for path in weights:
        known = of_weights(path)
        if shared := [entry.file for entry in tested.values() if known.has(entry)]:
            run = path.parent / RUN_MANIFEST if path.is_file() else f"its run's {RUN_MANIFEST}"
            raise DatasetError(
                f"{path}: was trained on {' and '.join(known.sets)}, with {len(shared)} of the test images of "
                f"{manifest.name} ({shared[0]} for one); use the split that it was trained with (--manifest {run})"
            )
        found |= known
    return found


def unseen(trained: TrainedOn) -> str:
    """For a report: whether test images are new to weights that `check_not_trained_on` let pass."""
    known = f"none was trained on ({', '.join(trained.sets)})"
    unknown = f"on which images {' and '.join(trained.unknown)} was trained is not known"
    return "; ".join([known] * bool(trained.sets) + [unknown] * bool(trained.unknown))
