"""CUHK03 (Li et al., CVPR 2014) from the official `cuhk-03.mat`, an HDF5 file; reading it needs h5py.

1,467 people by 5 pairs of cameras, up to 5 images per camera; `labeled` boxes are by hand, `detected` by a detector.
The file's 20 `testsets` hold 100 people each; the other 1,367 train. The images are extracted once, losslessly,
beside the .mat. The first camera of each pair gives the probes (the LR side), the second the gallery.
"""

import json
import re
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from training.data.folders import check_count, named_images
from training.data.records import Dataset, DatasetError, Record, Split

Boxes = Literal["labeled", "detected"]
IMAGES: dict[Boxes, int] = {"labeled": 14_096, "detected": 14_097}
MAT, SPLITS = "cuhk-03.mat", "testsets.json"
_FILE = re.compile(r"(?P<identity>\d{4})_c(?P<camera>\d{2})_\d{2}\.png")
_PER_CAMERA = 5


def load_cuhk03(
    root: Path, *, boxes: Boxes = "labeled", split: int = 0, strict_counts: bool = True
) -> Dataset:
    """`root` holds cuhk-03.mat, or what an earlier call extracted from it."""
    folder = root / boxes
    if not folder.is_dir():
        extract_cuhk03(root / MAT, folder, boxes)
    testsets = _read_testsets(folder / SPLITS)
    if not 0 <= split < len(testsets):
        raise DatasetError(f"{root / MAT}: has the splits 0 to {len(testsets) - 1}, not {split}")
    test = set(testsets[split])
    records = tuple(_records(folder, test))
    if strict_counts:
        check_count(folder, len(records), IMAGES[boxes], f"CUHK03 ({boxes})")
    return Dataset(f"CUHK03 ({boxes}, split {split})", root, records)


def extract_cuhk03(mat: Path, folder: Path, boxes: Boxes) -> None:
    """Write every image as `images/IIII_cCC_NN.png` and the test sets as identities; whole or not at all."""
    try:
        h5py: Any = import_module("h5py")
    except ModuleNotFoundError:
        raise DatasetError(f"{mat}: reading it needs h5py (pip install h5py)") from None
    if not mat.is_file():
        raise DatasetError(f"{mat}: no such file; the official download of CUHK03 holds it")
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "images").mkdir(parents=True)
    try:
        with h5py.File(mat, "r") as file:
            firsts = _extract_images(file, boxes, partial / "images")
            testsets = _testsets(file, firsts)
    except (OSError, KeyError, ValueError) as error:
        shutil.rmtree(partial)
        raise DatasetError(f"{mat}: damaged, or not CUHK03's file ({error})") from error
    (partial / SPLITS).write_text(json.dumps(testsets), encoding="utf-8")
    partial.rename(folder)


def _read_testsets(path: Path) -> list[list[int]]:
    try:
        testsets: list[list[int]] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"{path}: cannot be read ({error}); delete {path.parent} to extract it again"
        ) from error
    return testsets


def _records(folder: Path, test: set[int]) -> Iterator[Record]:
    for path, match in named_images(folder / "images", _FILE, "0001_c01_00.png"):
        identity, camera = int(match["identity"]), int(match["camera"])
        split: Split = "train"
        if identity in test:
            split = "probe" if camera % 2 else "gallery"
        yield Record(f"{folder.name}/images/{path.name}", identity, camera, split)


def _extract_images(file: Any, boxes: Boxes, folder: Path) -> list[int]:
    """Returns each camera pair's first identity. MATLAB's arrays arrive transposed."""
    firsts, identity = [], 1
    for pair, reference in enumerate(np.asarray(file[boxes]).ravel()):
        firsts.append(identity)
        people = np.asarray(file[reference]).T  # (people, 10) references
        for images in people:
            for position, image in enumerate(images):
                pixels = np.asarray(
                    file[image]
                ).T  # (height, width, 3), or not three-dimensional where absent
                if pixels.ndim != 3:
                    continue
                camera = 1 + 2 * pair + position // _PER_CAMERA
                name = f"{identity:04d}_c{camera:02d}_{position % _PER_CAMERA:02d}.png"
                Image.fromarray(np.ascontiguousarray(pixels)).save(folder / name)
            identity += 1
    return firsts


def _testsets(file: Any, firsts: list[int]) -> list[list[int]]:
    """(camera pair, person), both counted from 1, to identities."""
    sets = (np.asarray(file[reference]).T for reference in np.asarray(file["testsets"]).ravel())
    return [[firsts[int(pair) - 1] + int(person) - 1 for pair, person in people] for people in sets]
