"""What a run's folder says of its images, for a run that goes on, for evaluation and for the exporter."""

from collections.abc import Sequence
from pathlib import Path

from training.checkpoint import STATE_NAME
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
from training.record import described


def check_folder(folder: Path, manifest: Manifest) -> None:
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


def start_folder(folder: Path, manifest: Manifest, made_of: Sequence[Path | None]) -> None:
    """The run's folder says on which images it trains, itself and by the weights that it is `made_of`."""
    trained = of_manifest(manifest)
    for weights in made_of:
        trained |= of_weights(weights) if weights else TrainedOn()
    if (folder / STATE_NAME).is_file() and (folder / TRAINED_ON).is_file():  # what it began with stays true
        trained = read_trained_on(folder / TRAINED_ON) | trained
    folder.mkdir(parents=True, exist_ok=True)
    write_manifest(manifest, folder / RUN_MANIFEST)
    write_trained_on(trained, folder)
