"""Market-1501 v15.09.15 (Zheng et al., ICCV 2015) in its official layout.

Files are named `PPPP_cCsS_FFFFFF_DD.jpg`: identity, camera, sequence, frame, detection.
A few end in `.jpg.jpg`. Identity -1 is junk and 0000 a distractor; both lie in `bounding_box_test` only.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from training.data.folders import check_count, named_images
from training.data.records import DISTRACTOR, Dataset, DatasetError, Record, Split

NAME = "Market-1501"
FOLDERS: dict[str, tuple[Split, int]] = {
    "bounding_box_train": ("train", 12_936),
    "query": ("probe", 3_368),
    "bounding_box_test": ("gallery", 19_732),
}
_FILE = re.compile(r"(?P<identity>-1|\d{4})_c(?P<camera>\d+)s\d+_\d+_\d+(?:\.jpg){1,2}")


def load_market1501(root: Path, *, strict_counts: bool = True) -> Dataset:
    """Read the three official folders; images are ordered by path.

    `strict_counts=False` accepts a smaller set in the same layout. Raises DatasetError naming what is wrong.
    """
    if not root.is_dir():
        raise DatasetError(f"{root}: no such folder; it should hold {', '.join(FOLDERS)}")
    records: list[Record] = []
    for folder, (split, expected) in FOLDERS.items():
        found = list(_records(root / folder, split))
        if strict_counts:
            check_count(root / folder, len(found), expected, "Market-1501 v15.09.15")
        records += found
    return Dataset(NAME, root, tuple(records))


def _records(folder: Path, split: Split) -> Iterator[Record]:
    for path, match in named_images(folder, _FILE, "0002_c1s1_000451_03.jpg"):
        identity = int(match["identity"])
        if split != "gallery" and identity <= DISTRACTOR:
            raise DatasetError(f"{path}: junk and distractors belong in bounding_box_test")
        yield Record(f"{folder.name}/{path.name}", identity, int(match["camera"]), split)
