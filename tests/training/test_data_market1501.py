from pathlib import Path

import pytest

from training.data.market1501 import load_market1501
from training.data.records import DatasetError

NAMES = {
    "bounding_box_train": ["0002_c1s1_000451_03.jpg", "0002_c2s1_000776_01.jpg", "0007_c3s3_077419_03.jpg"],
    "query": ["0001_c1s1_001051_00.jpg", "0003_c2s1_000000_00.jpg.jpg"],
    "bounding_box_test": [
        "-1_c1s1_000401_03.jpg",
        "0000_c1s1_000151_01.jpg",
        "0001_c2s1_001976_01.jpg",
        "0003_c6s3_088017_04.jpg.jpg",
    ],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder, names in NAMES.items():
        (tmp_path / folder).mkdir()
        for name in [*names, "Thumbs.db", ".DS_Store"]:
            (tmp_path / folder / name).write_bytes(b"not decoded by the loader")
    return tmp_path


def test_reads_identity_camera_and_split(root: Path) -> None:
    dataset = load_market1501(root, strict_counts=False)
    assert [(r.path, r.identity, r.camera) for r in dataset.gallery] == [
        ("bounding_box_test/-1_c1s1_000401_03.jpg", -1, 1),
        ("bounding_box_test/0000_c1s1_000151_01.jpg", 0, 1),
        ("bounding_box_test/0001_c2s1_001976_01.jpg", 1, 2),
        ("bounding_box_test/0003_c6s3_088017_04.jpg.jpg", 3, 6),
    ]
    assert [(r.identity, r.camera) for r in dataset.train] == [(2, 1), (2, 2), (7, 3)]
    assert [r.path for r in dataset.probes][1] == "query/0003_c2s1_000000_00.jpg.jpg"


def test_an_incomplete_download_is_refused_with_both_counts(root: Path) -> None:
    with pytest.raises(DatasetError, match=r"bounding_box_train: 3 images where .* 12,936"):
        load_market1501(root)


@pytest.mark.parametrize(
    "name", ["0002_c1s1_000451.jpg", "cat.jpg", "0002_c1s1_000451_03.jpg.crdownload", "a.db"]
)
def test_an_unexpected_name_is_named_not_skipped(root: Path, name: str) -> None:
    (root / "query" / name).write_bytes(b"x")
    with pytest.raises(DatasetError, match=name):
        load_market1501(root, strict_counts=False)


def test_an_empty_file_is_named(root: Path) -> None:
    (root / "query" / "0001_c1s1_001051_00.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match=r"0001_c1s1_001051_00.jpg: the file is empty"):
        load_market1501(root, strict_counts=False)


def test_junk_among_the_probes_is_refused(root: Path) -> None:
    (root / "query" / "0000_c1s1_001051_00.jpg").write_bytes(b"x")
    with pytest.raises(DatasetError, match=r"belong in bounding_box_test"):
        load_market1501(root, strict_counts=False)


def test_missing_folders_are_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere: no such folder"):
        load_market1501(tmp_path / "nowhere")
    for file in (root / "query").iterdir():
        file.unlink()
    with pytest.raises(DatasetError, match="query: holds no image"):
        load_market1501(root, strict_counts=False)
    (root / "query").rmdir()
    with pytest.raises(DatasetError, match="query: no such folder"):
        load_market1501(root, strict_counts=False)
