"""CUHK03's official .mat, imitated: MATLAB stores arrays transposed, and cells as references."""

from pathlib import Path

import pytest

from tests.training.lookalike import cuhk03_picture, make_cuhk03
from training.data.cuhk03 import IMAGES, load_cuhk03
from training.data.images import read_image
from training.data.records import DatasetError

pytest.importorskip("h5py")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_cuhk03(tmp_path)


def test_images_cameras_and_test_sets_come_out(root: Path) -> None:
    dataset = load_cuhk03(root, strict_counts=False)
    assert dataset.name == "CUHK03 (labeled, split 0)"
    assert len(dataset.records) == 5 * 8
    assert {r.identity for r in dataset.probes} == {r.identity for r in dataset.gallery} == {3, 4}
    assert {r.camera for r in dataset.probes} == {1, 3} and {r.camera for r in dataset.gallery} == {2, 4}
    assert {r.identity for r in load_cuhk03(root, split=1, strict_counts=False).probes} == {1}
    [record] = [r for r in dataset.records if (r.identity, r.camera) == (4, 4) and r.path.endswith("_01.png")]
    assert (read_image(root / record.path) == cuhk03_picture(pair=1, person=0, image=6)).all()
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
