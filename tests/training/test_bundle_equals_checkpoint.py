"""The exported bundle scores what its checkpoint scores, by the real commands, at the run's HR reference.

Both hold float32 weights: rounding to 16 bits would move single ranks among so few probes (see test_export_bundle.py
for what it does to vectors).
"""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner, Result

from model.bundle.runtime import Bundle
from model.config import RCANConfig
from model.dgrl import DGRL
from model.rcan import RCAN
from model.weights import save_weights
from tests.support.tiny_networks import TINY_MODEL, tiny_crops, tiny_embedder
from tests.training.lookalike import make_market1501
from training.cli import app
from training.evaluation.report import Report

RECORD = '{"data": "d", "terms": "t", "recipe": "r", "started_from": "s", "device": "cpu", "hr_reference": [64, 32]}'


def invoke(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "160", "TERM": "dumb"})


def run(*words: object) -> str:
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder: weights whose batch norms have seen images, a light RCAN, the record, crops.

    The stems are nearly the same, else an untrained network would find nobody across them.
    """
    folder = tmp_path_factory.mktemp("run")
    crops = tiny_crops()
    network = DGRL(TINY_MODEL)
    network.embedder.load_state_dict(tiny_embedder(crops).state_dict())
    network.embedder.stem_sr.load_state_dict(network.embedder.stem_hr.state_dict())
    with torch.no_grad():
        network.embedder.stem_sr.conv1.weight.mul_(1.1)
    save_weights(folder / "dgrl.safetensors", network)
    torch.manual_seed(1)
    rcan = RCAN(RCANConfig((2, 3, 4), 1, 1, 8, 4, image_skip=True))
    with torch.no_grad():
        for tail in rcan.tails.values():
            tail[1].bias.add_(0.13)  # plain enlargement has many samples at exactly half a level
    save_weights(folder / "rcan.safetensors", rcan)
    (folder / "record.json").write_text(RECORD)
    (folder / "crops").mkdir()
    for number, crop in enumerate(crops):
        crop.save(folder / f"crops/{number:02}.png")
    return folder


@pytest.mark.long
def test_the_figures_agree_within_a_tenth_of_a_point(trained: Path, tmp_path: Path) -> None:
    market = make_market1501(tmp_path / "market", test=40)
    weights = ["--dgrl", trained / "dgrl.safetensors", "--rcan", trained / "rcan.safetensors"]
    bundle = tmp_path / "bundle"
    files = ["--crops", trained / "crops", "--record", trained / "record.json", "--out", bundle]
    files += ["--precision", "float32"]
    assert "HR reference: 64x32, the record's" in run("export", *weights, *files)
    manifest = Bundle.load(bundle).manifest
    assert manifest.hr_reference_height == 64
    assert [(s.scale, s.height, s.width) for s in manifest.super_resolution] == [
        (2, 32, 16),
        (3, 21, 10),
        (4, 16, 8),
    ]

    common = ["evaluate", market, "--no-strict-counts", "--precision", "float32"]
    variants = [word for name in ("super-resolved", "bilinear", "sharp") for word in ("--variant", name)]
    scorers = ["--scorer", "market1501", "--scorer", "single_shot"]
    reports = []
    for name, what in (("bundle", ["--bundle", bundle, "--provider", "cpu"]), ("checkpoint", weights)):
        run(*common, *variants, *scorers, *what, "--json", tmp_path / f"{name}.json")
        reports.append(Report.load(tmp_path / f"{name}.json"))
    assert reports[1].measured[0].source == "dgrl.safetensors, HR reference 64x32"
    assert len(reports[0].lines) == 2 * 3 * 4
    whole = [[line.result for line in report.lines if line.result.subset == "all"] for report in reports]
    for ours, theirs in zip(*whole, strict=True):  # a part has so few probes that one rank makes 0.1 points
        assert theirs.variant == ours.variant.replace("bundle", "checkpoint")
        for figure in ("rank1", "rank5", "rank10", "map", "minp"):
            found, expected = getattr(ours, figure), getattr(theirs, figure)
            print(f"{ours.scorer} {ours.variant}, {figure}: {found:.3f} against {expected:.3f}")
            assert found == pytest.approx(expected, abs=0.1)
    assert max(result.rank1 for result in whole[0]) > 50  # figures that could differ
