"""What goes wrong with real downloads, for every loader: each time the message names the file or folder."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.training.lookalike import (
    make_caviar,
    make_cuhk03,
    make_cuhk03_p1,
    make_market1501,
    make_own,
    make_viper,
)
from tests.training.test_every_dataset import recipes as recipes
from training.cli import app
from training.data.cuhk03 import extract_cuhk03
from training.data.records import DatasetError
from training.data.sources import Source, load_dataset


def extracted_cuhk03(root: Path) -> Path:
    """Two test sets of two people each, as an earlier run left them."""
    make_cuhk03(root, (4, 4), (((1, 1), (2, 1)), ((1, 2), (2, 2))))
    extract_cuhk03(root / "cuhk-03.mat", root / "labeled", "labeled")
    return root


@dataclass(frozen=True)
class Download:
    """`folders` must be there, `image` is one that a run decodes, `counts` is said where strict counts are on."""

    make: Callable[[Path], Path]
    folders: tuple[str, ...]
    image: str
    counts: str


DOWNLOADS = {
    Source.MARKET1501: Download(
        make_market1501,
        ("bounding_box_train", "query", "bounding_box_test"),
        "bounding_box_train/0002_c2s1_000001_00.jpg",
        "bounding_box_train: 12 images where Market-1501 v15.09.15 has 12,936",
    ),
    Source.CUHK03: Download(
        extracted_cuhk03,
        ("labeled/images",),
        "labeled/images/0003_c01_01.png",
        "labeled: 64 images where CUHK03 (labeled) has 14,096",
    ),
    Source.CUHK03_P1: Download(
        make_cuhk03_p1,
        ("labeled/train", "labeled/val"),
        "labeled/train/0001_05.jpg",
        "labeled/train: 12 images where CUHK03-P1 has 7,239",
    ),
    Source.VIPER: Download(
        make_viper, ("cam_a", "cam_b"), "cam_a/000_45.bmp", "cam_a: 6 images where VIPeR has 632"
    ),
    Source.CAVIAR: Download(make_caviar, ("",), "0004_011.jpg", ": 100 images where CAVIAR4REID has 1,220"),
}
everywhere = pytest.mark.parametrize("source", DOWNLOADS, ids=str)


def load(source: Source, root: Path) -> str:
    with pytest.raises(DatasetError) as refusal:
        load_dataset(source, root, strict_counts=False)
    return str(refusal.value)


@everywhere
def test_a_missing_or_empty_folder_is_named(source: Source, tmp_path: Path) -> None:
    download = DOWNLOADS[source]
    root = download.make(tmp_path / "data")
    for name in download.folders:
        folder, aside = root / name, tmp_path / "aside"
        folder.rename(aside)
        assert f"{folder}: no such folder" in load(source, root)
        folder.mkdir()
        assert f"{folder}: holds no image named like" in load(source, root)
        folder.rmdir()
        aside.rename(folder)
    load_dataset(source, root, strict_counts=False)


@everywhere
@pytest.mark.parametrize("name", ["holiday.jpg", "0001_c1s1_000001_00.jpg.crdownload", "notes.txt"])
def test_an_unexpected_name_is_named(source: Source, name: str, tmp_path: Path) -> None:
    root = DOWNLOADS[source].make(tmp_path / "data")
    for folder in DOWNLOADS[source].folders:
        stranger = root / folder / name
        stranger.write_bytes(b"x")
        assert f"{stranger}: not a name of this dataset (expected one like" in load(source, root)
        stranger.unlink()


@everywhere
def test_wrong_counts_are_said_with_both_numbers(source: Source, tmp_path: Path) -> None:
    root = DOWNLOADS[source].make(tmp_path / "data")
    with pytest.raises(DatasetError) as refusal:
        load_dataset(source, root)
    assert f"{root}" in str(refusal.value) and DOWNLOADS[source].counts in str(refusal.value)
    assert "the download is incomplete or changed" in str(refusal.value)


@everywhere
def test_an_empty_file_is_named(source: Source, tmp_path: Path) -> None:
    root = DOWNLOADS[source].make(tmp_path / "data")
    (root / DOWNLOADS[source].image).write_bytes(b"")
    assert load(source, root) == f"{root / DOWNLOADS[source].image}: the file is empty"


def truncate(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])


def run(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return result.output


@pytest.mark.parametrize("source", [*DOWNLOADS, Source.OWN], ids=str)
def test_a_truncated_image_stops_the_training_with_its_name(
    source: Source, recipes: Path, tmp_path: Path
) -> None:
    if source is Source.OWN:
        root, image = make_own(tmp_path / "data", train=2, test=2) / "images", "train/person 0/door/0.png"
    else:
        root, image = DOWNLOADS[source].make(tmp_path / "data"), DOWNLOADS[source].image
    words = [root, "--dataset", source.value, "--no-strict-counts", "--cache", tmp_path / "cache"]
    truncate(root / image)
    words += ["--out", tmp_path / "out", "--device", "cpu"]
    if source is Source.CAVIAR:  # has no RCAN to train
        start = ["--recipe", recipes / "dgrl.toml", "--start-from", recipes / "start.safetensors"]
        said = run("dgrl", *words, *start)
    else:
        said = run("rcan", *words, "--recipe", recipes / "rcan.toml")
    assert f"{root / image}: " in said and "damaged" in said
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_a_mat_file_that_was_cut_off_is_named(tmp_path: Path) -> None:
    make_cuhk03(tmp_path)
    truncate(tmp_path / "cuhk-03.mat")
    assert f"{tmp_path / 'cuhk-03.mat'}: damaged, or not CUHK03's file" in load(Source.CUHK03, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["cuhk-03.mat"]


@pytest.mark.parametrize("text", [None, "", "[[1, 2"])
def test_splits_that_cannot_be_read_are_named(text: str | None, tmp_path: Path) -> None:
    root = extracted_cuhk03(tmp_path)
    splits = root / "labeled/testsets.json"
    if text is None:
        splits.unlink()
    else:
        splits.write_text(text)
    assert f"{splits}: cannot be read" in load(Source.CUHK03, root)
    shutil.rmtree(root / "labeled")  # as the message says
    load_dataset(Source.CUHK03, root, strict_counts=False)


def test_a_table_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_bytes("path,identity,camera\n1.png,chloé,door\n".encode("latin-1"))
    assert f"{tmp_path / 'people.csv'}: not UTF-8 text" in load(Source.OWN, tmp_path / "people.csv")


def test_one_s_own_set_without_training_images_is_not_trained_on(tmp_path: Path) -> None:
    root = make_own(tmp_path / "data", train=0, test=2) / "images"
    said = run("rcan", root, "--dataset", "own", "--out", tmp_path / "out")
    assert "images native: the manifest has no training images" in said
