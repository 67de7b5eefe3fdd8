"""CAVIAR4REID (Cheng et al., BMVC 2011): 72 people, 1,220 images, the far camera natively of low resolution.

Files are `IIII_KKK.jpg`. The 50 people seen by both cameras have images 001-010 by the near camera and 011-020 by
the far one; the other 22 are left out. No image is made low and none is super-resolved (protocol `native`).
"""

import re
from pathlib import Path

from training.data.folders import check_count, named_images
from training.data.halves import random_half, split_by_identity
from training.data.records import Dataset, DatasetError, Record

IMAGES = 1_220
SEEN_ONCE = frozenset(
    (
        1,
        2,
        5,
        10,
        11,
        13,
        14,
        17,
        25,
        26,
        39,
        42,
        43,
        48,
        49,
        51,
        53,
        54,
        56,
        61,
        63,
        72,
    )  # by one camera only
)
NEAR, FAR = 1, 2
_FILE = re.compile(r"(?P<identity>\d{4})_?(?P<image>\d{3})\.jpg")
_PER_CAMERA = 10


def load_caviar(root: Path, *, split: int = 0, strict_counts: bool = True) -> Dataset:
    found = list(named_images(root, _FILE, "0003_001.jpg"))
    if strict_counts:
        check_count(root, len(found), IMAGES, "CAVIAR4REID")
    records = []
    for path, match in found:
        identity, image = int(match["identity"]), int(match["image"])
        if identity in SEEN_ONCE:
            continue
        if not 1 <= image <= 2 * _PER_CAMERA:
            raise DatasetError(f"{path}: image numbers go from 001 to 020")
        records.append(Record(path.name, identity, NEAR if image <= _PER_CAMERA else FAR, "train"))
    for identity in {record.identity for record in records}:
        if {record.camera for record in records if record.identity == identity} != {NEAR, FAR}:
            raise DatasetError(f"{root}: person {identity:04d} lacks the images of one camera")
    test = random_half((record.identity for record in records), split)
    split_records = split_by_identity(records, test, probe_camera=FAR)
    return Dataset(f"CAVIAR (split {split})", root, split_records, low_camera=FAR)
