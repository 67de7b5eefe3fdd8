"""CUHK03's official .mat, imitated: MATLAB stores arrays transposed, and cells as references."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.data.cuhk03 import IMAGES, load_cuhk03
from training.data.images import read_image
from training.data.records import DatasetError

h5py: Any = pytest.importorskip("h5py")
PEOPLE = (3, 2)  # of two camera pairs


def picture(pair: int, person: int, image: int) -> np.ndarray:
    """(height, width, 3)"""
    return np.random.default_rng((pair, person, image)).integers(0, 256, (12, 6, 3), dtype=np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "cuhk-03.mat", "w") as file:
        hidden = file.create_group("#refs#")

        def store(values: np.ndarray) -> Any:
            return hidden.create_dataset(str(len(hidden)), data=values).ref

        def fill(place: Any, cells: np.ndarray) -> Any:
            for index in np.ndindex(cells.shape):
                place[index] = cells[index]
            return place.ref

        def cell(cells: np.ndarray) -> Any:
            return fill(hidden.create_dataset(str(len(hidden)), cells.shape, dtype=h5py.ref_dtype), cells)

        pairs = np.empty((1, len(PEOPLE)), object)
        for pair, people in enumerate(PEOPLE):
            images = np.empty((10, people), object)
            for image, person in np.ndindex(10, people):
                absent = image in (4, 8)
                images[image, person] = store(
                    np.zeros(2, np.uint64) if absent else picture(pair, person, image).T
                )
            pairs[0, pair] = cell(images)
        testsets = np.empty((1, 2), object)
        testsets[0, 0] = store(
            np.array([[1.0, 2.0], [3.0, 1.0]])
        )  # (pair 1, person 3) and (pair 2, person 1)
        testsets[0, 1] = store(np.array([[1.0], [1.0]]))
        for name, cells in (("labeled", pairs), ("detected", pairs), ("testsets", testsets)):
            fill(file.create_dataset(name, cells.shape, dtype=h5py.ref_dtype), cells)
    return tmp_path


def test_images_cameras_and_test_sets_come_out(root: Path) -> None:
    dataset = load_cuhk03(root, strict_counts=False)
    assert dataset.name == "CUHK03 (labeled, split 0)"
    assert len(dataset.records) == 5 * 8
    assert {r.identity for r in dataset.probes} == {r.identity for r in dataset.gallery} == {3, 4}
    assert {r.camera for r in dataset.probes} == {1, 3} and {r.camera for r in dataset.gallery} == {2, 4}
    assert {r.identity for r in load_cuhk03(root, split=1, strict_counts=False).probes} == {1}
    [record] = [r for r in dataset.records if (r.identity, r.camera) == (4, 4) and r.path.endswith("_01.png")]
    assert (read_image(root / record.path) == picture(pair=1, person=0, image=6)).all()
    assert load_cuhk03(root, boxes="detected", strict_counts=False).name == "CUHK03 (detected, split 0)"


def test_what_is_wrong_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=f"40 images where CUHK03 .labeled. has {IMAGES['labeled']:,}"):
        load_cuhk03(root)
    with pytest.raises(DatasetError, match="has the splits 0 to 1, not 7"):
        load_cuhk03(root, split=7)
    with pytest.raises(DatasetError, match=r"cuhk-03\.mat: no such file"):
        load_cuhk03(tmp_path / "nothing")


def test_a_damaged_file_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "cuhk-03.mat").write_bytes(b"\x89HDF\r\n\x1a\n and then nothing")
    with pytest.raises(DatasetError, match=r"cuhk-03\.mat: damaged"):
        load_cuhk03(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["cuhk-03.mat"]
