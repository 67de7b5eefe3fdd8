"""Walk a dataset's folder strictly: every file is an image that fits the naming rule, or an error."""

import re
from collections.abc import Iterator
from pathlib import Path

from training.data.records import DatasetError

_NOT_IMAGES = {"Thumbs.db", "desktop.ini"}  # beside these, names that start with a dot


def named_images(
    folder: Path, pattern: re.Pattern[str], example: str
) -> Iterator[tuple[Path, re.Match[str]]]:
    """The images of one folder in the order of their names. DatasetError names what is missing or wrong."""
    found = False
    for path in plain_files(folder):
        match = pattern.fullmatch(path.name)
        if match is None:
            raise DatasetError(f"{path}: not a name of this dataset (expected one like {example})")
        if path.stat().st_size == 0:
            raise DatasetError(f"{path}: the file is empty")
        found = True
        yield path, match
    if not found:
        raise DatasetError(f"{folder}: holds no image named like {example}")


def plain_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    return sorted(
        path for path in folder.iterdir() if path.name not in _NOT_IMAGES and not path.name.startswith(".")
    )


def check_count(where: Path, found: int, expected: int, of: str) -> None:
    if found != expected:
        raise DatasetError(
            f"{where}: {found:,} images where {of} has {expected:,}; the download is incomplete or changed "
            "(a smaller set in the same layout needs --no-strict-counts)"
        )
