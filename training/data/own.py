"""A user's own images: a CSV, or folders `identity/camera/*`.

The CSV has the columns `path` (relative to it), `identity`, `camera` and, where wanted, `split` (train, probe or
gallery). Folders may be sorted into `train`, `probe` and `gallery` first. Identities and cameras are any text; they
are numbered in sorted order. Where no split is given, every image is both probe and gallery: scoring compares
across cameras only, so that no image meets itself. A random split, by number, leaves that to half of the identities
and trains on the others.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from training.data.folders import plain_files
from training.data.halves import random_half
from training.data.records import Dataset, DatasetError, Record, Split

SPLITS: tuple[str, ...] = get_args(Split)


@dataclass(frozen=True)
class _Row:
    path: str
    identity: str
    camera: str
    split: str  # "" where none is given


def load_own(source: Path, split: int | None = None) -> Dataset:
    """`source` is a CSV file or a folder. A set of one's own has no official counts.

    `split` draws the identities to train on; it is for sets that do not say so themselves.
    """
    is_table = source.is_file()
    try:
        rows = list(_from_csv(source) if is_table else _from_folders(source))
    except UnicodeDecodeError as error:
        raise DatasetError(f"{source}: not UTF-8 text ({error})") from error
    if not rows:
        raise DatasetError(f"{source}: names no image")
    root = source.parent if is_table else source
    given = {row.split for row in rows}
    if "" in given and len(given) > 1:
        lone = next(row for row in rows if not row.split)
        raise DatasetError(f"{root / lone.path}: has no split, others have; give all or none")
    if len({row.camera for row in rows if row.split != "train"}) < 2:
        raise DatasetError(f"{source}: all images are by one camera; scoring compares across cameras")
    if split is None:
        return Dataset(source.stem, root, tuple(_numbered(rows)))
    if given != {""}:
        raise DatasetError(f"{source}: says itself what is trained on: leave out --split")
    tested = random_half((record.identity for record in _numbered(rows)), split)
    return Dataset(f"{source.stem} (split {split})", root, tuple(_halved(_numbered(rows), tested)))


def _halved(records: Iterable[Record], tested: set[int]) -> Iterator[Record]:
    """Of each pair of records (probe and gallery) that an image has, one for training where it is not tested."""
    for record in records:
        if record.identity in tested:
            yield record
        elif record.split == "probe":
            yield replace(record, split="train")


def _from_csv(table: Path) -> Iterator[_Row]:
    with table.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in ("path", "identity", "camera") if name not in (reader.fieldnames or ())]
        if missing:
            raise DatasetError(f"{table}: lacks the column {' and '.join(missing)} in its first line")
        for line in reader:
            row = _Row(line["path"], line["identity"], line["camera"], line.get("split") or "")
            if not (row.path and row.identity and row.camera):
                raise DatasetError(f"{table}: line {reader.line_num} lacks a path, identity or camera")
            if row.split and row.split not in SPLITS:
                raise DatasetError(
                    f"{table}: line {reader.line_num}: split {row.split!r} is none of {', '.join(SPLITS)}"
                )
            if not (table.parent / row.path).is_file():
                raise DatasetError(
                    f"{table.parent / row.path}: no such file (line {reader.line_num} of {table})"
                )
            yield row


def _from_folders(root: Path) -> Iterator[_Row]:
    names = {path.name for path in plain_files(root)}
    if names and names <= set(SPLITS):
        for split in sorted(names):
            yield from _people(root / split, root, split)
    else:
        yield from _people(root, root, "")


def _people(folder: Path, root: Path, split: str) -> Iterator[_Row]:
    for person in plain_files(folder):
        for camera in plain_files(_folder(person)):
            for image in plain_files(_folder(camera)):
                if image.is_dir():
                    raise DatasetError(f"{image}: a folder where an image of identity/camera/ should be")
                yield _Row(image.relative_to(root).as_posix(), person.name, camera.name, split)


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise DatasetError(f"{path}: a file where a folder of the layout identity/camera/image should be")
    return path


def _numbered(rows: Sequence[_Row]) -> Iterator[Record]:
    people = {name: number for number, name in enumerate(sorted({row.identity for row in rows}), start=1)}
    cameras = {name: number for number, name in enumerate(sorted({row.camera for row in rows}), start=1)}
    for row in rows:
        sides: tuple[Split, ...] = tuple(s for s in get_args(Split) if s == row.split) or ("probe", "gallery")
        for side in sides:
            yield Record(row.path, people[row.identity], cameras[row.camera], side)
