"""VIPeR (Gray et al., PETS 2007): 632 people, one image by each of two cameras.

`cam_a` and `cam_b` hold `IIII_angle.bmp`; the part before the underscore is the identity. The test half is drawn
by split number. Camera A's images are the probes (the LR side).
"""

import re
from collections.abc import Iterator
from pathlib import Path

from training.data.folders import check_count, named_images
from training.data.halves import random_half, split_by_identity
from training.data.records import Dataset, DatasetError, Record

PEOPLE = 632
_FILE = re.compile(r"(?P<identity>\d+)_\d+\.bmp")


def load_viper(root: Path, *, split: int = 0, strict_counts: bool = True) -> Dataset:
    sides = [list(_images(root / folder, camera)) for camera, folder in ((1, "cam_a"), (2, "cam_b"))]
    seen = [{record.identity for record in side} for side in sides]
    if unpaired := seen[0] ^ seen[1]:
        lone = next(r for side in sides for r in side if r.identity in unpaired)
        raise DatasetError(f"{root / lone.path}: the other camera's folder has no image of this person")
    if strict_counts:
        for side, folder in zip(sides, ("cam_a", "cam_b"), strict=True):
            check_count(root / folder, len(side), PEOPLE, "VIPeR")
    records = split_by_identity([*sides[0], *sides[1]], random_half(seen[0], split), probe_camera=1)
    return Dataset(f"VIPeR (split {split})", root, records)


def _images(folder: Path, camera: int) -> Iterator[Record]:
    """Counted from 1: VIPeR has a person 0."""
    for path, match in named_images(folder, _FILE, "000_45.bmp"):
        yield Record(f"{folder.name}/{path.name}", 1 + int(match["identity"]), camera, "train")
