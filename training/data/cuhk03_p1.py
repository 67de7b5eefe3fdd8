"""CUHK03-P1: CUHK03's hand-labelled boxes (Li et al., CVPR 2014), camera pair 1 of 5, as image files.

`labeled/train` (743 identities) and `labeled/val` (100) hold `PPPP_KK.jpg`; images 00-04 are camera A, 05-09 camera
B. Both folders count identities from 0 and share nobody. It is a part of CUHK03: a figure on it is named
CUHK03-P1 and never set beside a published CUHK03 figure.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from training.data.folders import check_count, named_images
from training.data.records import Dataset, DatasetError, Record

NAME = "CUHK03-P1"
TRAIN_IMAGES, TEST_IMAGES = 7_239, 938
_FILE = re.compile(r"(?P<identity>\d{4})_(?P<image>\d{2})\.jpg")
_PER_CAMERA = 5


def load_cuhk03_p1(root: Path, *, strict_counts: bool = True) -> Dataset:
    """Camera A's test images are the probes (the LR side), camera B's the gallery."""
    train = list(_images(root / "labeled/train", "labeled/train", first=1))
    test = list(_images(root / "labeled/val", "labeled/val", first=1 + max(r.identity for r in train)))
    if strict_counts:
        check_count(root / "labeled/train", len(train), TRAIN_IMAGES, NAME)
        check_count(root / "labeled/val", len(test), TEST_IMAGES, NAME)
    split = (Record(r.path, r.identity, r.camera, "probe" if r.camera == 1 else "gallery") for r in test)
    return Dataset(NAME, root, (*train, *split))


def _images(folder: Path, name: str, first: int) -> Iterator[Record]:
    """Identity 0 is a distractor elsewhere, so that people start at `first` >= 1."""
    for path, match in named_images(folder, _FILE, "0000_00.jpg"):
        camera = 1 + int(match["image"]) // _PER_CAMERA
        if camera > 2:
            raise DatasetError(f"{path}: image numbers go from 00 to 09")
        yield Record(f"{name}/{path.name}", first + int(match["identity"]), camera, "train")
