"""The manifest that a command works on: a shared file, or drawn from a data set on disk."""

from pathlib import Path

from training.data.manifest import Manifest, build_manifest, read_manifest, verify_manifest, write_manifest
from training.data.records import DatasetError
from training.data.sources import Source, load_dataset


def open_manifest(
    data: Path,
    *,
    file: Path | None,
    source: Source | None = None,
    protocol: str = "",
    split: int | None = None,
    seed: int = 0,
    strict_counts: bool = True,
) -> Manifest:
    """`file` where it exists, verified against the images; else one is drawn, and written there.

    The file decides on data set, protocol, split and seed. Raises DatasetError where what was asked for
    contradicts it.
    """
    if file is not None and file.exists():
        manifest = read_manifest(file)
        _agree(file, manifest, source, protocol, split)
        verify_manifest(manifest, root_of(data))
        return manifest
    kind = source or Source.MARKET1501
    dataset = load_dataset(kind, data, split=split, strict_counts=strict_counts)
    manifest = build_manifest(dataset, protocol or kind.protocol, seed)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_manifest(manifest, file)
    return manifest


def root_of(data: Path) -> Path:
    """The folder that a manifest's files are relative to; `data` may be a CSV in it."""
    return data.parent if data.is_file() else data


def _agree(file: Path, manifest: Manifest, source: Source | None, protocol: str, split: int | None) -> None:
    wrong = []
    if source is not None and source is not Source.of(manifest.dataset):
        wrong.append(f"--dataset {source.value}")
    if protocol and protocol != manifest.protocol:
        wrong.append(f"--protocol {protocol}")
    if split is not None and f"split {split})" not in manifest.dataset:
        wrong.append(f"--split {split}")
    if wrong:
        raise DatasetError(f"{file}: is of {manifest.name}, which {' and '.join(wrong)} contradicts")
