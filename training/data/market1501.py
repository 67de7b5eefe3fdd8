"""Market-1501 v15.09.15 (Zheng et al., ICCV 2015) in its official layout.

Files are named `PPPP_cCsS_FFFFFF_DD.jpg`: identity, camera, sequence, frame, detection.
A few end in `.jpg.jpg`. Identity -1 is junk and 0000 a distractor; both lie in `bounding_box_test` only.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from training.data.records import DISTRACTOR, Dataset, DatasetError, Record, Split

NAME = "Market-1501"
FOLDERS: dict[str, tuple[Split, int]] = {
    "bounding_box_train": ("train", 12_936),
    "query": ("probe", 3_368),
    "bounding_box_test": ("gallery", 19_732),
}
_FILE = re.compile(r"(?P<identity>-1|\d{4})_c(?P<camera>\d+)s\d+_\d+_\d+(?:\.jpg){1,2}")
_NOT_IMAGES = {"Thumbs.db", "desktop.ini"}  # beside these, names that start with a dot


def load_market1501(root: Path, *, strict_counts: bool = True) -> Dataset:
    """Read the three official folders; images are ordered by path.

    `strict_counts=False` accepts a smaller set in the same layout. Raises DatasetError naming what is wrong.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; it should hold {', '.join(FOLDERS)}")
    records: list[Record] = []
    for folder, (split, expected) in FOLDERS.items():
        found = sorted(_records(root / folder, split), key=lambda record: record.path)
        if not found:
            raise DatasetError(f"{root / folder}: holds no image named like 0002_c1s1_000451_03.jpg")
        if strict_counts and len(found) != expected:
            raise DatasetError(
                f"{root / folder}: {len(found):,} images where Market-1501 v15.09.15 has {expected:,}; "
                "the download is incomplete or changed (a smaller set needs strict_counts=False)"
            )
        records += found
    return Dataset(NAME, root, tuple(records))


def _records(folder: Path, split: Split) -> Iterator[Record]:
    if not folder.is_dir():
        raise DatasetError(f"{folder}: missing; Market-1501 has the folders {', '.join(FOLDERS)}")
    for path in folder.iterdir():
        if path.name in _NOT_IMAGES or path.name.startswith("."):
            continue
        match = _FILE.fullmatch(path.name)
        if match is None:
            raise DatasetError(f"{path}: not a Market-1501 name (expected PPPP_cCsS_FFFFFF_DD.jpg)")
        if path.stat().st_size == 0:
            raise DatasetError(f"{path}: the file is empty")
        identity = int(match["identity"])
        if split != "gallery" and identity <= DISTRACTOR:
            raise DatasetError(f"{path}: junk and distractors belong in bounding_box_test")
        yield Record(f"{folder.name}/{path.name}", identity, int(match["camera"]), split)
