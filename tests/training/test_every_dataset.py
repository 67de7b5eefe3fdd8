"""Every dataset, laid out like the official one, by the real commands: RCAN, DGRL, evaluation, a JSON report."""

import dataclasses
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from model.dgrl import DGRL
from model.weights import load_dgrl, save_weights
from tests.support.tiny_networks import TINY_MODEL
from tests.training.lookalike import (
    make_caviar,
    make_cuhk03,
    make_cuhk03_p1,
    make_market1501,
    make_own,
    make_viper,
    save,
)
from training.cli import app
from training.data.manifest import read_manifest
from training.evaluation.report import Report

RCAN_TOML = """
epochs = 1
batch = 4
height = 32
width = 16
precision = "float32"
[model]
scales = [2, 3, 4]
groups = 1
blocks = 1
features = 4
reduction = 2
image_skip = true
"""
DGRL_TOML = f"""
name = "tiny"
epochs = 1
identities_per_batch = 2
pairs_per_identity = 2
precision = "float32"
hr_reference = [32, 16]
[model]
height = 32
width = 16
stem_channels = 8
stage_blocks = {list(TINY_MODEL.stage_blocks)}
dimension = 16
groups = 4
group_hidden = 8
non_local = false
side_branches = false
restormer_block = {{ dim = 8, heads = 2 }}
[losses]
mutual = 0.0
"""
SIZE = {"height": 32, "width": 16}
SINGLE = "single_shot(repeats=10, seed=0)"


@dataclass(frozen=True)
class Case:
    """One dataset as it should come out. `train` counts images; `identities` those trained on."""

    make: Callable[[Path], Path]
    words: Sequence[str]
    manifest: str
    scorers: tuple[str, ...]
    identities: int
    train: int
    probes: int
    subsets: tuple[str, ...] = ("r=2", "r=3", "r=4")
    super_resolved: bool = True


def own_table(root: Path) -> Path:
    return make_own(root, train=3, test=3, **SIZE) / "people.csv"


def own_folder(root: Path) -> Path:
    return make_own(root, train=3, test=3, **SIZE) / "images"


def own_unsorted(root: Path) -> Path:
    """`person/camera/shot`, with nothing said of training."""
    for person in range(6):
        for camera, name in enumerate(("door", "yard"), start=1):
            for shot in range(2):
                save(root / f"person {person}/{name}/{shot}.png", person, camera, shot, **SIZE)
    return root


CASES = {
    "market1501": Case(make_market1501, ["market1501"], "MLR-Market-1501 all", ("market1501",), 4, 12, 16),
    "cuhk03": Case(
        lambda root: make_cuhk03(root, (5, 4), (((1, 3), (2, 1), (2, 4)), ((1, 1),)), **SIZE),
        ["cuhk03"],
        "MLR-CUHK03 (labeled, split 0) all",
        (SINGLE,),
        6,
        48,
        12,
    ),
    "cuhk03-p1": Case(
        lambda root: make_cuhk03_p1(root, train=4, test=4, **SIZE),
        ["cuhk03-p1"],
        "MLR-CUHK03-P1 all",
        (SINGLE,),
        4,
        16,
        8,
    ),
    "viper": Case(
        lambda root: make_viper(root, 12, **SIZE),
        ["viper", "--split", "1"],
        "MLR-VIPeR (split 1) all",
        (SINGLE,),
        6,
        12,
        6,
    ),
    "caviar": Case(
        lambda root: make_caviar(root, (1, 2, 3, 4, 6, 7)),
        ["caviar", "--split", "2"],
        "CAVIAR (split 2) native",
        (SINGLE, "market1501"),
        2,
        40,
        20,
        ("height 8-15",),
        super_resolved=False,
    ),
    "own-folder": Case(own_folder, ["own"], "images native", ("market1501",), 3, 12, 6, ("height 32-63",)),
    "own-split": Case(
        own_unsorted,
        ["own", "--split", "1"],
        "data (split 1) native",
        ("market1501",),
        3,
        12,
        12,
        ("height 32-63",),
    ),
    "own-csv": Case(own_table, ["own"], "people native", ("market1501",), 3, 12, 6, ("height 32-63",)),
}


@pytest.fixture(scope="module")
def recipes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two overlays, and a network to start from (an ImageNet ResNet-50 does not fit this architecture)."""
    folder = tmp_path_factory.mktemp("recipes")
    (folder / "rcan.toml").write_text(RCAN_TOML)
    (folder / "dgrl.toml").write_text(DGRL_TOML)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = dataclasses.replace(TINY_MODEL, height=32, width=16, side_branches=False)
    save_weights(folder / "start.safetensors", DGRL(model))
    return folder


def command(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


def train_and_evaluate(case: Case, data: Path, recipes: Path, out: Path) -> Report:
    """The three commands, as a user gives them; the evaluation takes the run's own manifest."""
    words = [
        data,
        "--dataset",
        *case.words,
        "--no-strict-counts",
        "--cache",
        out / "cache",
        "--device",
        "cpu",
    ]
    resolver: list[object] = []
    if case.super_resolved:
        command("rcan", *words, "--recipe", recipes / "rcan.toml", "--out", out / "rcan")
        resolver = ["--rcan", out / "rcan/rcan.safetensors"]
    start = ["--recipe", recipes / "dgrl.toml", "--start-from", recipes / "start.safetensors"]
    command("dgrl", *words, *resolver, *start, "--out", out / "dgrl")
    weights = ["--checkpoint", out / "dgrl/dgrl.safetensors", *resolver]
    manifest = ["--manifest", out / "dgrl/manifest.jsonl"]
    command("evaluate", data, *manifest, *weights, "--json", out / "report.json")
    return Report.load(out / "report.json")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_from_images_to_a_scored_report(
    case: Case, recipes: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "training"):
        report = train_and_evaluate(case, case.make(tmp_path / "data"), recipes, tmp_path)
    assert f"{case.manifest} has {case.identities} training identities" in caplog.text
    assert load_dgrl(tmp_path / "dgrl/dgrl.safetensors").config.identities == case.identities

    manifest = read_manifest(tmp_path / "dgrl/manifest.jsonl")
    assert (manifest.name, len(manifest.of("train"))) == (case.manifest, case.train)
    assert (report.protocol.name, report.protocol.digest) == (case.manifest, manifest.digest)
    record = json.loads((tmp_path / "dgrl/record.json").read_text())
    assert manifest.digest[:16] in record["data"] and case.manifest in record["data"]
    assert record["hr_reference"] == [32, 16]
    assert report.measured[0].source == "dgrl.safetensors, HR reference 32x16"
    if case.super_resolved:
        quality = json.loads((tmp_path / "rcan/quality.json").read_text())
        assert quality["data"] == record["data"] and quality["x4"]["bicubic_psnr"] > 5

    plain = "checkpoint, bilinear instead of RCAN"
    variants = ["checkpoint", plain] if case.super_resolved else [plain]
    rows = [(line.result.scorer, line.result.variant, line.result.subset) for line in report.lines]
    assert rows == [
        (scorer, variant, subset)
        for scorer in case.scorers
        for variant in variants
        for subset in ("all", *case.subsets)
    ]
    whole = report.lines[0].result
    assert (whole.protocol, whole.manifest) == (case.manifest, manifest.digest[:16])
    assert whole.probes + report.lines[0].without_match == case.probes
    assert 0 < whole.map <= 100 and whole.rank1 <= whole.rank5 <= whole.rank10 <= 100
