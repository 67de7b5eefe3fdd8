"""Weights are not judged on images that they were trained on, as happens when random splits are mixed up."""

from collections.abc import Sequence
from pathlib import Path

from training.data.manifest import RUN_MANIFEST, Manifest, read_manifest
from training.data.records import DatasetError


def check_not_trained_on(weights: Sequence[Path], manifest: Manifest) -> None:
    """Raises DatasetError where a run beside one of `weights` trained on a probe or gallery image of `manifest`.

    Weights without their run's manifest beside them are taken as they are.
    """
    tested = {entry.sha256: entry.file for side in ("probe", "gallery") for entry in manifest.of(side)}
    for path in weights:
        file = path.parent / RUN_MANIFEST
        if not file.is_file():
            continue
        run = read_manifest(file)
        if shared := [entry.sha256 for entry in run.of("train") if entry.sha256 in tested]:
            raise DatasetError(
                f"{path}: was trained on {run.name}, with {len(shared)} of the test images of {manifest.name} "
                f"({tested[shared[0]]} for one); use the split that it was trained with (--manifest {file})"
            )
