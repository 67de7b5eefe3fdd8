"""Writes a bundle's manifest, whole or not at all."""

import os
from collections.abc import Sequence
from pathlib import Path

from model.bundle.manifest import MANIFEST_NAME, CalibrationBucket, EvaluationResult, Manifest
from model.bundle.runtime import Bundle


def write_manifest(bundle: Path, manifest: Manifest) -> None:
    """A crash leaves the old manifest or the new one."""
    temporary = bundle / f".{MANIFEST_NAME}.partial"
    with temporary.open("w", encoding="utf-8") as file:
        file.write(manifest.model_dump_json(indent=2) + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(bundle / MANIFEST_NAME)
    sync_folder(bundle)


def update_manifest(
    bundle: Path,
    *,
    evaluation: Sequence[EvaluationResult] | None = None,
    calibration: Sequence[CalibrationBucket] | None = None,
) -> Manifest:
    """Puts results into a bundle; None leaves what is there. Its id stays, which hashes the other files."""
    manifest = Bundle.load(bundle).manifest
    values = manifest.model_dump()
    if evaluation is not None:
        values["evaluation"] = [result.model_dump() for result in evaluation]
    if calibration is not None:
        values["calibration"] = [bucket.model_dump() for bucket in calibration]
    updated = Manifest.model_validate(values)
    write_manifest(bundle, updated)
    return updated


def sync_file(file: Path) -> None:
    """Makes a file's contents survive a power cut."""
    with file.open("rb") as handle:
        os.fsync(handle.fileno())


def sync_folder(folder: Path) -> None:
    """Makes what was created or renamed in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
