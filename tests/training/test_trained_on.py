"""A bundle knows on which images it was trained: the real commands neither test it on them nor calibrate it."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from model.bundle.manifest import MANIFEST_NAME, bundle_id
from model.bundle.runtime import Bundle
from tests.support.tiny_networks import tiny_crops
from tests.training.lookalike import make_market1501, make_viper
from tests.training.test_every_dataset import CASES, SIZE, command, train_and_evaluate
from tests.training.test_every_dataset import recipes as recipes
from tests.training.test_splits import refused
from training.data.manifest import RUN_MANIFEST, read_manifest
from training.data.records import DatasetError
from training.data.trained_on import (
    TRAINED_ON,
    TrainedOn,
    of_manifest,
    of_weights,
    read_trained_on,
    write_trained_on,
)
from training.data.unseen import unseen
from training.evaluation.report import Report

SPLIT_0 = ["--dataset", "viper", "--no-strict-counts", "--split", "0"]
OVERLAP = "was trained on MLR-VIPeR (split 1) all, with"


@pytest.fixture(scope="module")
def trained(recipes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with VIPeR's images in `data`, a run on split 1 in `rcan` and `dgrl`, its `bundle`, and `crops`."""
    folder = tmp_path_factory.mktemp("trained")
    train_and_evaluate(CASES["viper"], make_viper(folder / "data", 8, **SIZE), recipes, folder)
    (folder / "crops").mkdir()
    for number, crop in enumerate(tiny_crops()):
        crop.save(folder / f"crops/{number}.png")
    weights = ["--dgrl", folder / "dgrl/dgrl.safetensors", "--rcan", folder / "rcan/rcan.safetensors"]
    files = ["--crops", folder / "crops", "--record", folder / "dgrl/record.json", "--out", folder / "bundle"]
    said = command("export", *weights, *files, "--precision", "float32")
    assert "trained on: 8 images of MLR-VIPeR (split 1) all; not known of start.safetensors\n" in said
    return folder


def test_a_bundle_is_not_tested_on_what_it_was_trained_on(trained: Path, tmp_path: Path) -> None:
    data, bundle = trained / "data", ["--bundle", trained / "bundle", "--provider", "cpu"]
    for name in ("evaluate", "calibrate"):
        said = refused(name, data, *SPLIT_0, *bundle)
        assert f"{trained / 'bundle'}: {OVERLAP}" in said and "use the split that it was trained with" in said
    own = ["--manifest", trained / "dgrl" / RUN_MANIFEST]
    files = ["--json", tmp_path / "report.json", "--html", tmp_path / "report.html"]
    known = "none was trained on (MLR-VIPeR (split 1) all); "
    known += "on which images start.safetensors was trained is not known"
    assert f"test images: {known}" in " ".join(command("evaluate", data, *own, *bundle, *files).split())
    assert Report.load(tmp_path / "report.json").measured[0].test_images == known
    assert known in (tmp_path / "report.html").read_text()


def test_nor_does_a_training_start_from_it_or_enlarge_with_it(
    trained: Path, recipes: Path, tmp_path: Path
) -> None:
    words = [trained / "data", *SPLIT_0, "--recipe", recipes / "dgrl.toml", "--out", tmp_path / "run"]
    assert OVERLAP in refused("dgrl", *words, "--bilinear", "--start-from", trained / "bundle")
    start = ["--start-from", recipes / "start.safetensors"]
    assert OVERLAP in refused("dgrl", *words, *start, "--rcan", trained / "bundle")
    assert not (tmp_path / "run").exists()


def test_what_is_trained_on_from_there_knows_both(trained: Path, recipes: Path, tmp_path: Path) -> None:
    market, run = make_market1501(tmp_path / "market"), tmp_path / "run"
    words = [market, "--no-strict-counts", "--recipe", recipes / "dgrl.toml", "--cache", tmp_path / "cache"]
    command("dgrl", *words, "--bilinear", "--start-from", trained / "bundle", "--out", run)
    found = read_trained_on(run / TRAINED_ON)
    assert found.sets == ("MLR-Market-1501 all", "MLR-VIPeR (split 1) all") and len(found.images) == 12 + 8
    bilinear = ["--checkpoint", run / "dgrl.safetensors", "--variant", "bilinear"]
    both = "was trained on MLR-Market-1501 all and MLR-VIPeR (split 1) all, with"
    assert both in refused("evaluate", trained / "data", *SPLIT_0, *bilinear)
    command("dgrl", *words, "--bilinear", "--start-from", recipes / "start.safetensors", "--out", run)
    assert read_trained_on(run / TRAINED_ON) == found  # a run that goes on forgets nothing


def test_a_bundle_that_does_not_say_is_taken_as_it_is_and_the_report_says_so(
    trained: Path, tmp_path: Path
) -> None:
    older = shutil.copytree(trained / "bundle", tmp_path / "older")
    (older / TRAINED_ON).unlink()
    manifest = json.loads((older / MANIFEST_NAME).read_text())
    del manifest["files"][TRAINED_ON]
    manifest["bundle_id"] = bundle_id(manifest["files"])
    (older / MANIFEST_NAME).write_text(json.dumps(manifest))
    said = command("evaluate", trained / "data", *SPLIT_0, "--bundle", older, "--provider", "cpu")
    assert "test images: on which images the bundle bundle was trained is not known" in " ".join(said.split())


def test_the_file_holds_what_was_noted_and_is_small(trained: Path, tmp_path: Path) -> None:
    manifest = read_manifest(trained / "dgrl" / RUN_MANIFEST)
    file = trained / "bundle" / TRAINED_ON
    assert TRAINED_ON in Bundle.load(trained / "bundle").manifest.files
    known = read_trained_on(file)
    assert all(known.has(entry) for entry in manifest.of("train"))
    assert not any(known.has(entry) for entry in (*manifest.of("probe"), *manifest.of("gallery")))
    many = TrainedOn(("a",), frozenset(number.to_bytes(8) for number in range(12_936)), ("b",))
    write_trained_on(many, tmp_path)
    assert read_trained_on(tmp_path / TRAINED_ON) == many
    assert (tmp_path / TRAINED_ON).stat().st_size < 8 * 12_936 + 100


def test_what_lies_beside_weights_speaks_for_them(trained: Path, tmp_path: Path) -> None:
    weights = trained / "dgrl/dgrl.safetensors"
    assert of_weights(weights) == read_trained_on(trained / "dgrl" / TRAINED_ON)
    shutil.copy(weights, tmp_path)
    assert of_weights(tmp_path / weights.name) == TrainedOn(unknown=(weights.name,))
    shutil.copy(trained / "dgrl" / RUN_MANIFEST, tmp_path)  # a run from before the list was kept
    assert of_weights(tmp_path / weights.name) == of_manifest(read_manifest(tmp_path / RUN_MANIFEST))


def test_what_is_known_adds_up() -> None:
    one, two = TrainedOn(("a",), frozenset([b"1"]), ("x",)), TrainedOn(("b", "a"), frozenset([b"2"]), ("x",))
    assert one | two == TrainedOn(("a", "b"), frozenset([b"1", b"2"]), ("x",))
    assert str(one | two) == "2 images of a, b; not known of x"
    assert unseen(one) == "none was trained on (a); on which images x was trained is not known"
    assert unseen(dataclasses.replace(one, unknown=())) == "none was trained on (a)"
    assert unseen(TrainedOn(unknown=("x",))) == "on which images x was trained is not known"


@pytest.mark.parametrize("change", [b"", b"{}\n", b'{"format": 2, "images": 0}\n', b"cut"])
def test_a_damaged_list_is_named(change: bytes, tmp_path: Path) -> None:
    write_trained_on(TrainedOn(("a",), frozenset([b"12345678"])), tmp_path)
    whole = (tmp_path / TRAINED_ON).read_bytes()
    (tmp_path / TRAINED_ON).write_bytes(whole[:-3] if change == b"cut" else change)
    with pytest.raises(DatasetError, match=r"trained_on\.bin: not a list of the images"):
        read_trained_on(tmp_path / TRAINED_ON)
