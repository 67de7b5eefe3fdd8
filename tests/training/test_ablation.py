"""The rows of Tables II and III: each changes what its name says, and a row is trained once."""

import json
from dataclasses import replace
from pathlib import Path

from safetensors.torch import save_file
from typer.testing import CliRunner

from model.bundle.manifest import sha256_of
from model.config import RCANConfig
from model.rcan import RCAN
from model.weights import save_weights
from tests.support.tiny_networks import tiny_rcan
from tests.training.lookalike import make_market1501
from tests.training.test_recipes import RECIPES
from tests.training.test_runs import DGRL_TOML, IDENTITIES, network
from training.ablation import ABLATIONS, ablated
from training.cli import app
from training.config import DGRLRecipe, as_json, load_recipe


def test_the_rows_of_table_ii_add_one_loss_after_the_other() -> None:
    terms = [
        [
            name
            for name in ("identity", "wrt", "shallow", "mutual")
            if getattr(ablated(DGRLRecipe(), ABLATIONS[row]).losses, name)
        ]
        for row in ("id", "id-wrt", "id-wrt-l1", "full")
    ]
    assert terms == [
        ["identity"],
        ["identity", "wrt"],
        ["identity", "wrt", "shallow"],
        ["identity", "wrt", "shallow", "mutual"],
    ]


def test_the_rows_of_table_iii_add_one_component_after_the_other() -> None:
    models = [
        ablated(DGRLRecipe(), ABLATIONS[row]).model
        for row in ("baseline", "non-local", "non-local-galn", "full")
    ]
    assert [(m.non_local, m.galn, m.restormer) for m in models] == [
        (False, False, False),
        (True, False, False),
        (True, True, False),
        (True, True, True),
    ]


def test_each_switch_of_plus_has_a_row_of_its_own_and_runs_only_when_named() -> None:
    rows = [row for row in ABLATIONS.values() if row.when_named]
    plus = load_recipe(DGRLRecipe(), RECIPES / "plus.toml")
    together = DGRLRecipe()
    for row in rows:
        alone = ablated(DGRLRecipe(), row)
        changed = {n for n, v in as_json(alone).items() if v != as_json(DGRLRecipe())[n]} - {"name"}
        assert changed == row.changes.keys()
        together = ablated(together, row)
    cosine = replace(together.optimiser, milestones=plus.optimiser.milestones)  # a cosine has none
    assert replace(together, name="plus", optimiser=cosine) == plus
    assert [row.name for row in rows] == ["ema", "erasing", "cosine", "longer"]


def imagenet_like(path: Path) -> Path:
    """Tensors in ImageNet's key names, from an untrained network with as many blocks as the side branches need."""
    source = network()
    blocks = {
        "layer1": source.embedder.trunk.layer1,
        "layer2": source.embedder.trunk.layer2,
        "layer3": list(source.side2.blocks)[:3],
        "layer4": list(source.side2.blocks)[3:],
    }
    state = {
        f"{part}.{name}": tensor
        for part in ("conv1", "bn1")
        for name, tensor in getattr(source.embedder.stem_hr, part).state_dict().items()
    }
    for layer, found in blocks.items():
        bottlenecks = [block for block in found if type(block).__name__ == "Bottleneck"]
        for position, block in enumerate(bottlenecks):
            state |= {f"{layer}.{position}.{name}": tensor for name, tensor in block.state_dict().items()}
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path


def test_two_rows_from_images_to_a_table_and_a_second_run_reads_them(tmp_path: Path) -> None:
    market = make_market1501(tmp_path / "market", train=IDENTITIES)
    (tmp_path / "dgrl.toml").write_text(DGRL_TOML.replace("epochs = 2", "epochs = 1"))
    save_weights(tmp_path / "rcan.safetensors", RCAN(RCANConfig((2, 3, 4), 1, 1, 8, 4, True)))
    words = [
        *("ablate", market, "--rcan", tmp_path / "rcan.safetensors", "--row", "id", "--row", "bilinear"),
        *("--imagenet", imagenet_like(tmp_path / "imagenet.safetensors"), "--recipe", tmp_path / "dgrl.toml"),
        *("--out", tmp_path / "out", "--cache", tmp_path / "cache", "--device", "cpu", "--no-strict-counts"),
    ]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    rows = json.loads((tmp_path / "out" / "bilinear" / "result.json").read_text())
    assert {row["subset"] for row in rows} >= {"all", "r=2"}
    assert rows[0]["rcan"] is None and rows[0]["variant"].endswith("bilinear instead of RCAN")
    market1501, single_shot = result.output.split("single_shot(repeats=10, seed=0)")
    assert "89.9" in single_shot  # the paper's figure stands beside ours
    assert "paper" not in market1501  # and not beside those of another scorer
    (tmp_path / "out" / "id" / "dgrl.safetensors").unlink()  # not needed again
    again = CliRunner().invoke(app, [str(word) for word in words])
    assert again.exit_code == 0, again.output
    assert "step" not in again.output
    record = json.loads((tmp_path / "out/id/record.json").read_text())
    assert record["details"]["rcan"] == sha256_of(tmp_path / "rcan.safetensors")[:16]
    (tmp_path / "dgrl.toml").write_text(DGRL_TOML)  # two epochs
    other = CliRunner().invoke(app, [str(word) for word in words])
    assert other.exit_code == 2 and "id/result.json: is of another recipe; choose" in other.output
    save_weights(tmp_path / "rcan.safetensors", RCAN(RCANConfig((2, 3, 4), 1, 1, 8, 4, True)))
    other = CliRunner().invoke(app, [str(word) for word in words])
    assert other.exit_code == 2 and "id/result.json: is of another rcan and recipe; choose" in other.output


def test_an_unknown_row_lists_the_known_ones(tmp_path: Path) -> None:
    save_weights(tmp_path / "rcan.safetensors", tiny_rcan())
    result = CliRunner().invoke(
        app, ["ablate", str(tmp_path), "--rcan", str(tmp_path / "rcan.safetensors"), "--row", "x"]
    )
    assert result.exit_code == 2
    assert "known are full, id" in result.output


def test_a_row_that_lacks_its_rcan_is_refused_before_any_is_trained(tmp_path: Path) -> None:
    save_weights(tmp_path / "rcan.safetensors", tiny_rcan())
    words = ["ablate", str(tmp_path), "--rcan", str(tmp_path / "rcan.safetensors"), "--row", "full"]
    result = CliRunner().invoke(app, [*words, "--row", "light-rcan"])
    assert result.exit_code == 2 and "needs --light-rcan WEIGHTS" in result.output
