"""A network trained on natively small pictures (CAVIAR) is exported, scored and served without super-resolution."""

import dataclasses
import shutil
from pathlib import Path

import pytest
from PIL import Image

from model.bundle.runtime import Bundle
from model.dgrl import DGRL
from model.weights import save_weights
from tests.support.live import serving, tiny_settings
from tests.support.tiny_networks import TINY_MODEL, tiny_crops, tiny_embedder
from tests.training.lookalike import make_caviar
from tests.training.test_every_dataset import CASES, command, train_and_evaluate
from tests.training.test_every_dataset import recipes as recipes
from training.evaluation.report import Report


@pytest.fixture(scope="module")
def trained(recipes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with CAVIAR's images in `data`, a run in `dgrl`, its `report.json` and its `bundle`."""
    folder = tmp_path_factory.mktemp("caviar")
    (folder / "crops").mkdir()
    for number, crop in enumerate(tiny_crops()):
        crop.save(folder / f"crops/{number}.png")
    begun = shutil.copytree(recipes, folder / "recipes")
    save_weights(begun / "start.safetensors", seeing(tiny_crops()))
    make_caviar(folder / "data", height=60)  # 20 pixels by the far camera: the service takes 16 and more
    train_and_evaluate(CASES["caviar"], folder / "data", begun, folder)
    run = ["--dgrl", folder / "dgrl/dgrl.safetensors", "--record", folder / "dgrl/record.json"]
    words = ["--crops", folder / "crops", "--out", folder / "bundle", "--precision", "float32"]
    command("export", *run, *words)
    return folder


def seeing(crops: list[Image.Image]) -> DGRL:
    """A network whose norms have seen images, else all of them look alike to it, and the gate says so."""
    network = DGRL(dataclasses.replace(TINY_MODEL, height=32, width=16, side_branches=False))
    network.embedder.load_state_dict(tiny_embedder(crops).state_dict())
    return network


def test_the_bundle_scores_what_the_checkpoint_scores(trained: Path) -> None:
    manifest = Bundle.load(trained / "bundle").manifest
    assert manifest.super_resolution == () and manifest.training.details["rcan"].startswith("none: native")
    words = ["evaluate", trained / "data", "--manifest", trained / "dgrl/manifest.jsonl", "--provider", "cpu"]
    ways = ["--variant", "super-resolved", "--variant", "bilinear"]  # the first is as served
    command(*words, *ways, "--bundle", trained / "bundle", "--json", trained / "served.json")
    [served, checkpoint] = [Report.load(trained / name) for name in ("served.json", "report.json")]
    expected = {
        (line.result.scorer, line.result.subset): line.result.model_dump(exclude={"variant"})
        for line in checkpoint.lines
    }
    assert len(served.lines) == 2 * len(expected) == 8
    for line in served.lines:
        found = line.result.model_dump(exclude={"variant"})
        assert found == pytest.approx(expected[line.result.scorer, line.result.subset], abs=0.1)


def test_the_service_answers_with_it(trained: Path, tmp_path: Path) -> None:
    near, far = (trained / f"data/0003_0{number}.jpg" for number in ("01", "11"))
    with serving(tiny_settings(trained / "bundle", tmp_path)) as server, server.client() as client:
        assert client.get("/readyz").status_code == 200
        for person in ("0003", "0004"):
            picture = (trained / f"data/{person}_001.jpg").read_bytes()
            sent = client.post("/gallery", files=[("images", picture)], data={"identity": person})
            assert sent.status_code == 201, sent.text
        small = client.post("/query", files=[("images", far.read_bytes())])
        assert small.status_code == 200, small.text
        assert small.json()["probe"]["branch"] == "sr" and small.json()["probe"]["scale"] is None
        assert {match["identity"] for match in small.json()["matches"]} == {"0003", "0004"}
        sharp = client.post("/query", files=[("images", near.read_bytes())])
        assert sharp.json()["probe"]["branch"] == "hr" and sharp.json()["matches"][0]["score"] > 0.999
        scale = client.post("/query", files=[("images", far.read_bytes())], data={"super_resolution": "2"})
        assert scale.status_code == 422 and "no super-resolver of scale 2; it has: none" in scale.text
