"""Random splits: each with its own training, averaged; and what keeps splits from being mixed up."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.support.tiny_networks import TINY_MODEL
from tests.training.lookalike import make_caviar, make_market1501, make_own, make_viper
from tests.training.test_every_dataset import CASES, SIZE, command, train_and_evaluate
from tests.training.test_every_dataset import recipes as recipes
from training.cli import app
from training.config import DGRLRecipe
from training.data.caviar import load_caviar
from training.data.images import read_image
from training.data.manifest import build_manifest
from training.data.opened import open_manifest
from training.data.records import DatasetError
from training.data.sources import Source
from training.evaluation.report import Report
from training.native_pairs import native_pairs
from training.packed import fitted
from training.pairs import Data, make_pairs


def refused(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return result.output


@pytest.mark.parametrize(
    ("name", "title"),
    [("viper", "MLR-VIPeR (splits 0, 1) all"), ("caviar", "CAVIAR (splits 0, 1) native")],
)
def test_two_splits_are_averaged(name: str, title: str, recipes: Path, tmp_path: Path) -> None:
    data = CASES[name].make(tmp_path / "data")
    files = []
    for split in (0, 1):
        case = dataclasses.replace(CASES[name], words=[name, "--split", str(split)])
        files.append(tmp_path / f"{split}/report.json")
        train_and_evaluate(case, data, recipes, tmp_path / str(split))
    command("average", *files, "--json", tmp_path / "mean.json")
    mean = Report.load(tmp_path / "mean.json")
    assert mean.protocol.name == f"{title}, mean of 2 reports"
    both = [Report.load(file).lines[0].result for file in files]
    assert both[0].protocol != both[1].protocol
    line = mean.lines[0]
    assert line.result.map == pytest.approx(np.mean([result.map for result in both]))
    assert line.deviation is not None
    assert line.deviation.map == pytest.approx(np.std([result.map for result in both], ddof=1))
    assert f"the same weights on the same manifest as {files[0]}" in refused("average", files[0], files[0])


def test_a_caviar_pair_is_the_near_and_the_far_image_of_one_person(tmp_path: Path) -> None:
    make_caviar(tmp_path)
    (tmp_path / "0003_020.jpg").unlink()  # nine far images: the first serves twice
    dataset = load_caviar(tmp_path, strict_counts=False)
    everyone = dataclasses.replace(
        dataset,
        records=(
            *(dataclasses.replace(record, split="train") for record in dataset.records),
            *dataset.probes,
        ),
    )
    near, far = native_pairs(build_manifest(everyone, "native", 0))
    assert [entry.identity for entry in near] == [entry.identity for entry in far]
    assert len(near) == 40 and {entry.camera for entry in near} == {1} and {e.camera for e in far} == {2}
    assert (near[0].file, far[0].file) == ("0003_001.jpg", "0003_011.jpg")
    assert (near[9].file, far[9].file) == ("0003_010.jpg", "0003_011.jpg")
    lone = dataclasses.replace(
        everyone, records=tuple(r for r in everyone.records if r.identity != 4 or r.camera == 1)
    )
    with pytest.raises(DatasetError, match="person 4 has no image by the camera of low resolution"):
        native_pairs(build_manifest(lone, "native", 0))


def test_caviar_s_pairs_hold_the_pixels_of_both_sides(tmp_path: Path) -> None:
    root = make_caviar(tmp_path / "data")
    manifest = open_manifest(root, file=None, source=Source.CAVIAR, strict_counts=False)
    recipe = DGRLRecipe(model=dataclasses.replace(TINY_MODEL, height=32, width=16))
    pairs = make_pairs(recipe, Data(root, manifest, tmp_path / "cache"), None, torch.device("cpu"))
    for side, entries in zip((pairs.hr, pairs.sr), native_pairs(manifest), strict=True):
        for pixels, entry in zip(side, entries, strict=True):
            assert np.array_equal(pixels, fitted(read_image(root / entry.file), (32, 16)))
    assert pairs.labels == [0] * 10 + [1] * 10


def test_caviar_has_no_super_resolution_step(tmp_path: Path) -> None:
    common = [make_caviar(tmp_path / "caviar"), "--dataset", "caviar", "--no-strict-counts"]
    assert "there is no RCAN to train" in refused("rcan", *common, "--out", tmp_path / "rcan")
    for given in (["--bilinear"], ["--rcan", "x.safetensors"]):
        assert "leave out --rcan and --bilinear" in refused("dgrl", *common, *given, "--out", tmp_path / "d")


def test_a_split_is_not_evaluated_with_the_weights_of_another(recipes: Path, tmp_path: Path) -> None:
    data = make_viper(tmp_path / "data", 8, **SIZE)
    train_and_evaluate(CASES["viper"], data, recipes, tmp_path)  # split 1
    weights = tmp_path / "dgrl/dgrl.safetensors"
    words = [data, "--dataset", "viper", "--no-strict-counts", "--split", "0"]
    said = refused("evaluate", *words, "--checkpoint", weights, "--variant", "bilinear")
    assert "was trained on MLR-VIPeR (split 1) all, with" in said and "--manifest" in said
    start = ["--recipe", recipes / "dgrl.toml", "--start-from", weights]
    assert "was trained on" in refused("dgrl", *words, "--bilinear", *start, "--out", tmp_path / "other")
    start = ["--recipe", recipes / "dgrl.toml", "--start-from", recipes / "start.safetensors"]
    cache = ["--cache", tmp_path / "cache", "--bilinear", "--out", tmp_path / "dgrl"]
    assert "this run was started on other images" in refused("dgrl", *words, *start, *cache)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--dataset", "caviar"], "--dataset caviar"),
        (["--split", "3"], "--split 3"),
        (["--protocol", "c1", "--split", "1"], "--protocol c1"),
    ],
)
def test_a_manifest_file_and_the_options_agree(words: list[str], named: str, tmp_path: Path) -> None:
    data = make_viper(tmp_path / "data", 8, **SIZE)
    file = ["--manifest", tmp_path / "m.jsonl"]
    viper = ["--dataset", "viper", "--split", "1", "--no-strict-counts"]
    assert "absent" in refused("evaluate", data, *viper, *file, "--bundle", "absent")
    said = refused("evaluate", data, *file, "--bundle", "absent", *words)
    assert f"m.jsonl: is of MLR-VIPeR (split 1) all, which {named} contradicts" in said


def test_identities_that_do_not_fit_are_refused(recipes: Path, tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text("[model]\nidentities = 751\n")
    words = ["dgrl", make_market1501(tmp_path / "data"), "--bilinear", "--no-strict-counts"]
    said = refused(*words, "--recipe", tmp_path / "wrong.toml", "--out", tmp_path / "out")
    assert "has 4 training identities, the recipe's model.identities is 751; leave it out" in said


def test_a_kl_term_without_side_branches_is_refused(recipes: Path, tmp_path: Path) -> None:
    text = (recipes / "dgrl.toml").read_text().replace("mutual = 0.0", "mutual = 1.0")
    (tmp_path / "kl.toml").write_text(text)
    words = ["dgrl", make_market1501(tmp_path / "data"), "--bilinear", "--no-strict-counts"]
    words += ["--start-from", recipes / "start.safetensors", "--recipe", tmp_path / "kl.toml"]
    assert "set losses.mutual = 0 where" in refused(*words, "--out", tmp_path / "out")


def test_one_person_to_train_on_is_refused(recipes: Path, tmp_path: Path) -> None:
    words = [
        make_own(tmp_path / "own", train=1, test=3) / "images",
        "--dataset",
        "own",
        "--out",
        tmp_path / "out",
    ]
    start = ["--recipe", recipes / "dgrl.toml", "--start-from", recipes / "start.safetensors"]
    assert "training needs at least two identities" in refused("dgrl", *words, "--bilinear", *start)


def test_losses_that_are_all_off_are_refused(recipes: Path, tmp_path: Path) -> None:
    off = "[losses]\nidentity = 0.0\nwrt = 0.0\nshallow = 0.0\n"
    (tmp_path / "off.toml").write_text((recipes / "dgrl.toml").read_text().replace("[losses]\n", off))
    words = ["dgrl", make_market1501(tmp_path / "data"), "--bilinear", "--no-strict-counts"]
    words += ["--start-from", recipes / "start.safetensors", "--recipe", tmp_path / "off.toml"]
    assert "every loss is turned off" in refused(*words, "--out", tmp_path / "out")
