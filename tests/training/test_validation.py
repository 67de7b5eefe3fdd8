"""RCAN's best weights are chosen on training identities that it is not trained on; test ones only measure."""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from tests.training.lookalike import make_market1501
from tests.training.test_every_dataset import RCAN_TOML
from training.best import BEST_NAME
from training.checkpoint import STATE_NAME
from training.cli import app
from training.data.manifest import Entry, Manifest, read_manifest
from training.data.records import DatasetError
from training.data.validation import IMAGES, VALIDATION_NAME, divide, spread
from training.train_rcan import FINAL_NAME, WEIGHTS_NAME


def manifest(images: Sequence[int], protocol: str = "all") -> Manifest:
    """Training identities 1, 2, ... with as many images each."""
    entries = (
        Entry(f"{identity:04d}/{number}.jpg", identity, 1 + number % 2, 2, "train", "")
        for identity, count in enumerate(images, start=1)
        for number in range(count)
    )
    return Manifest("made up", protocol, 0, tuple(entries))


def test_a_few_identities_are_held_out_and_none_is_on_both_sides() -> None:
    whole = manifest([17] * 751)  # as many as Market-1501 has
    division = divide(whole)
    assert len(division.identities) == 30 and len(division.validation) == 30 * 17
    assert {entry.identity for entry in division.validation} == set(division.identities)
    assert {entry.identity for entry in division.train} == set(range(1, 752)) - set(division.identities)
    assert len(division.train) == 721 * 17


def test_which_ones_depends_on_the_seed_and_not_on_order_or_protocol() -> None:
    whole = manifest([3] * 200)
    turned = dataclasses.replace(whole, protocol="c1", entries=whole.entries[::-1])
    found = divide(whole).identities
    assert len(found) == 8 and divide(turned).identities == found
    assert divide(dataclasses.replace(whole, seed=1)).identities != found


def test_identities_with_many_images_are_fewer_and_their_images_thinned() -> None:
    assert len(divide(manifest([200] * 100)).identities) == 2  # three would be 600 images
    alone = divide(manifest([3000] * 10))
    assert len(alone.identities) == 1 and len(alone.validation) == 600  # every fifth
    assert len(alone.train) == 9 * 3000  # the other 2,400 are not trained on either
    assert len(spread(manifest([2 * IMAGES - 1]).entries)) == 2 * IMAGES - 1


def test_one_identity_cannot_be_divided() -> None:
    with pytest.raises(DatasetError, match=r"RCAN needs two training identities.*the manifest has 1"):
        divide(manifest([9]))


def run(data: Path, recipe: Path, out: Path) -> tuple[int, str]:
    words = ["rcan", data, "--recipe", recipe, "--out", out, "--cache", out / "cache", "--no-strict-counts"]
    torch.set_num_threads(1)
    result = CliRunner().invoke(app, [str(word) for word in (*words, "--device", "cpu")])
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "rcan.toml"
    path.write_text("measure_steps = 1\n" + RCAN_TOML)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, recipe: Path) -> tuple[Path, Path]:
    """The images, and the run on them."""
    folder = tmp_path_factory.mktemp("trained")
    data = make_market1501(folder / "data")
    assert run(data, recipe, folder / "run")[0] == 0
    return data, folder / "run"


def overpainted(data: Path, copy: Path, files: Sequence[Path]) -> Path:
    """A copy in which `files` show noise."""
    shutil.copytree(data, copy)
    for number, file in enumerate(files):
        noise = np.random.default_rng(number).integers(0, 256, (64, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).save(copy / file)
    return copy


def same(one: Path, two: Path, name: str) -> bool:
    """Of weights the tensors are compared: their header comes in any order."""
    if name == BEST_NAME:
        return (one / name).read_bytes() == (two / name).read_bytes()
    a, b = load_file(one / name), load_file(two / name)
    return all(torch.equal(a[key], b[key]) for key in {*a, *b})


def test_other_test_images_change_what_is_reported_and_not_what_is_chosen(
    trained: tuple[Path, Path], recipe: Path, tmp_path: Path
) -> None:
    data, first = trained
    probes = [path.relative_to(data) for path in (data / "query").glob("*.jpg")]
    again = tmp_path / "run"
    assert run(overpainted(data, tmp_path / "data", probes), recipe, again)[0] == 0
    assert same(first, again, BEST_NAME)
    assert same(first, again, WEIGHTS_NAME) and same(first, again, FINAL_NAME)
    found, other = (json.loads((path / "quality.json").read_text()) for path in (first, again))
    assert other["x4"] != found["x4"] and other["last"]["x4"] != found["last"]["x4"]
    assert other["best_step"] == found["best_step"] and other["best_chosen_on"] == found["best_chosen_on"]


def test_the_held_out_images_are_not_trained_on_and_decide(
    trained: tuple[Path, Path], recipe: Path, tmp_path: Path
) -> None:
    data, first = trained
    division = divide(read_manifest(first / "manifest.jsonl"))
    assert len(division.identities) == 1 and len(division.validation) == 3
    named = json.loads((first / "quality.json").read_text())["best_chosen_on"]
    assert named == {"identities": list(division.identities), "images": 3}
    again = tmp_path / "run"
    held_out = [Path(entry.file) for entry in division.validation]
    assert run(overpainted(data, tmp_path / "data", held_out), recipe, again)[0] == 0
    assert same(first, again, FINAL_NAME) and not same(first, again, BEST_NAME)
    trained_on = [Path(entry.file) for entry in division.train]
    assert run(overpainted(data, tmp_path / "more", trained_on), recipe, tmp_path / "third")[0] == 0
    assert not same(first, tmp_path / "third", FINAL_NAME)


def test_a_run_that_was_not_divided_like_this_does_not_go_on(
    trained: tuple[Path, Path], recipe: Path, tmp_path: Path
) -> None:
    data, first = trained
    older = shutil.copytree(first, tmp_path / "older")
    assert run(data, recipe, older)[0] == 0  # a finished run is found as it is
    assert same(first, older, WEIGHTS_NAME)
    (older / VALIDATION_NAME).unlink()  # as runs were before identities were held out
    before = (older / STATE_NAME).read_bytes()
    code, said = run(data, recipe, older)
    assert code == 2 and "choose another folder (--out)" in said and "Traceback" not in said
    assert (older / STATE_NAME).read_bytes() == before and not (older / VALIDATION_NAME).exists()
