"""Every other dataset's loader on a small look-alike, and on what goes wrong with real downloads."""

from collections import Counter
from pathlib import Path

import pytest

from tests.training.lookalike import make_caviar, make_cuhk03_p1, make_own, make_viper, save
from training.data import caviar as caviar_module
from training.data import viper as viper_module
from training.data.caviar import SEEN_ONCE, load_caviar
from training.data.cuhk03_p1 import load_cuhk03_p1
from training.data.manifest import build_manifest
from training.data.own import load_own
from training.data.records import DatasetError
from training.data.sources import Source, load_dataset
from training.data.viper import load_viper

SMALL = {"height": 16, "width": 8}


def test_cuhk03_p1_keeps_the_people_of_both_folders_apart(tmp_path: Path) -> None:
    dataset = load_cuhk03_p1(make_cuhk03_p1(tmp_path), strict_counts=False)
    assert dataset.name == "CUHK03-P1"
    assert {r.identity for r in dataset.train} == {1, 2, 3}
    assert {r.identity for r in dataset.probes} == {r.identity for r in dataset.gallery} == {4, 5}
    assert {r.camera for r in dataset.probes} == {1} and {r.camera for r in dataset.gallery} == {2}
    assert Counter(r.path[-6:-4] for r in dataset.probes) == {"00": 2, "04": 2}
    with pytest.raises(DatasetError, match="12 images where CUHK03-P1 has 7,239"):
        load_cuhk03_p1(tmp_path)
    (tmp_path / "labeled/val/0001_10.jpg").write_bytes(b"x")
    with pytest.raises(DatasetError, match=r"0001_10\.jpg: image numbers go from 00 to 09"):
        load_cuhk03_p1(tmp_path, strict_counts=False)


def test_viper_splits_repeat_differ_and_halve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_viper(tmp_path)
    splits = [load_viper(tmp_path, split=n, strict_counts=False) for n in (0, 1, 0)]
    assert splits[0] == splits[2]
    assert {r.identity for r in splits[0].probes} != {r.identity for r in splits[1].probes}
    for dataset in splits:
        assert len(dataset.probes) == len(dataset.gallery) == 3 and len(dataset.train) == 6
        assert not {r.identity for r in dataset.train} & {r.identity for r in dataset.probes}
        assert {r.path.split("/")[0] for r in dataset.probes} == {"cam_a"}
        assert min(r.identity for r in dataset.records) == 1
    assert build_manifest(splits[1], "all", 0).name == "MLR-VIPeR (split 1) all"
    monkeypatch.setattr(viper_module, "PEOPLE", 6)
    load_viper(tmp_path)


def test_viper_names_an_unpaired_person(tmp_path: Path) -> None:
    make_viper(tmp_path)
    (tmp_path / "cam_b/003_90.bmp").unlink()
    with pytest.raises(DatasetError, match=r"cam_a/003_45\.bmp: the other camera's folder"):
        load_viper(tmp_path, strict_counts=False)


def test_caviar_leaves_out_people_seen_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(SEEN_ONCE) == 22
    make_caviar(tmp_path)
    dataset = load_caviar(tmp_path, strict_counts=False)
    assert {r.identity for r in dataset.records} == {3, 4, 6, 7}
    assert len(dataset.probes) == len(dataset.gallery) == 20 and len(dataset.train) == 40
    assert {r.camera for r in dataset.probes} == {2}  # the far camera
    manifest = build_manifest(dataset, "native", 0)
    assert manifest.name == "CAVIAR (split 0) native" and {e.r for e in manifest.entries} == {1}
    monkeypatch.setattr(caviar_module, "IMAGES", 100)
    load_caviar(tmp_path)
    for image in range(11, 21):
        (tmp_path / f"0003_{image:03d}.jpg").unlink()
    with pytest.raises(DatasetError, match="person 0003 lacks the images of one camera"):
        load_caviar(tmp_path, strict_counts=False)


def test_own_folders_with_and_without_splits(tmp_path: Path) -> None:
    for person in ("9", "Ada", "李"):
        for camera in ("a", "b"):
            save(tmp_path / f"flat/{person}/{camera}/x.png", 1, 1, **SMALL)
            for split in ("probe", "gallery"):
                save(tmp_path / f"sorted/{split}/{person}/{camera}/x.png", 1, 1, **SMALL)
    flat = load_own(tmp_path / "flat")
    assert len(flat.probes) == len(flat.gallery) == 6 and not flat.train
    assert {(r.path.split("/")[0], r.identity) for r in flat.probes} == {("9", 1), ("Ada", 2), ("李", 3)}
    ordered = load_own(tmp_path / "sorted")
    assert {r.path.split("/")[0] for r in ordered.probes} == {"probe"} and len(ordered.probes) == 6
    manifest = build_manifest(flat, "native", 0)
    assert len(manifest.of("probe")) == 6 and len(manifest.of("gallery")) == 6


def test_a_random_split_of_own_people(tmp_path: Path) -> None:
    for person in range(7):
        for camera in (1, 2):
            save(tmp_path / f"{person}" / f"{camera}" / "a.png", person, camera)
    dataset = load_own(tmp_path, 0)
    assert dataset.name == f"{tmp_path.name} (split 0)"
    tested = {record.identity for record in dataset.probes}
    trained = {record.identity for record in dataset.records if record.split == "train"}
    assert (len(tested), len(trained)) == (3, 4) and not tested & trained
    assert (
        len(dataset.records) == 3 * 2 * 2 + 4 * 2
    )  # tested images are probe and gallery, others once for training
    assert load_own(tmp_path, 0) == dataset
    others = ({record.identity for record in load_own(tmp_path, n).probes} for n in range(1, 5))
    assert any(other != tested for other in others)


def test_a_set_that_says_what_is_trained_on_is_not_split(tmp_path: Path) -> None:
    make_own(tmp_path, train=2, test=2)
    with pytest.raises(DatasetError, match="says itself what is trained on: leave out --split"):
        load_own(tmp_path / "people.csv", 0)


def test_own_table(tmp_path: Path) -> None:
    save(tmp_path / "pictures/1.png", 1, 1, **SMALL)
    save(tmp_path / "pictures/2.png", 1, 2, **SMALL)
    table = tmp_path / "people.csv"
    rows = "pictures/1.png,ann,c1,probe\npictures/2.png,ann,c2,gallery\n"
    table.write_text("\ufeffpath,identity,camera,split\n" + rows, encoding="utf-8")
    dataset = load_own(table)
    assert dataset.name == "people" and dataset.root == tmp_path
    assert [(r.path, r.identity, r.camera, r.split) for r in dataset.records] == [
        ("pictures/1.png", 1, 1, "probe"),
        ("pictures/2.png", 1, 2, "gallery"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,identity\n", "lacks the column camera"),
        ("path,identity,camera\n", "names no image"),
        ("path,identity,camera\nnone.png,a,b\n", r"none\.png: no such file \(line 2"),
        ("path,identity,camera\n1.png,,b\n", "line 2 lacks"),
        ("path,identity,camera,split\n1.png,a,b,query\n", "'query' is none of train, probe, gallery"),
        ("path,identity,camera\n1.png,a,b\n2.png,a,b\n", "all images are by one camera"),
        ("path,identity,camera,split\n1.png,a,b,probe\n2.png,a,c,\n", r"2\.png: has no split"),
    ],
)
def test_own_table_errors_name_the_place(tmp_path: Path, text: str, message: str) -> None:
    for name in ("1.png", "2.png"):
        save(tmp_path / name, 1, 1, **SMALL)
    (tmp_path / "people.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DatasetError, match=message):
        load_own(tmp_path / "people.csv")


def test_own_folders_of_the_wrong_depth_are_named(tmp_path: Path) -> None:
    save(tmp_path / "ann/1.png", 1, 1, **SMALL)
    with pytest.raises(DatasetError, match=r"1\.png: a file where a folder of the layout identity/camera"):
        load_own(tmp_path)
    save(tmp_path / "deep/ann/cam/more/1.png", 1, 1, **SMALL)
    with pytest.raises(DatasetError, match="more: a folder where an image"):
        load_own(tmp_path / "deep")


def test_every_source_has_a_loader(tmp_path: Path) -> None:
    for source in Source:
        with pytest.raises((DatasetError, FileNotFoundError)) as refusal:
            load_dataset(source, tmp_path / "nothing")
        assert "nothing" in str(refusal.value)
