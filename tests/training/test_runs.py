"""Whole runs of both trainings on a tiny synthetic set: they learn, resume after a kill, and say what broke."""

import dataclasses
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from model.bundle.manifest import TrainingRecord
from model.config import RCANConfig
from model.dgrl import DGRL
from model.rcan import RCAN
from model.weights import load_dgrl, load_rcan, save_weights
from tests.support.tiny_networks import TINY_MODEL
from tests.training.lookalike import make_market1501
from training.checkpoint import STATE_NAME, CheckpointError, Progressed, load_state, save_state
from training.cli import app
from training.config import AugmentConfig, DGRLRecipe, OptimiserConfig, as_json
from training.failure import TrainingFailed
from training.optimiser import make_optimiser
from training.pair_store import Pairs
from training.train_dgrl import train_dgrl

IDENTITIES = 6
RECIPE = DGRLRecipe(
    name="tiny",
    epochs=4,
    identities_per_batch=3,
    pairs_per_identity=2,
    model=dataclasses.replace(TINY_MODEL, identities=IDENTITIES, non_local=True),
    optimiser=OptimiserConfig(warmup_epochs=1, milestones=(3,)),
    precision="float32",
    log_steps=1,
)
CPU = torch.device("cpu")


def pairs() -> Pairs:
    random = np.random.default_rng(0)
    clothes = random.integers(0, 256, (IDENTITIES, 4, 1, 3)).repeat(16, axis=1).repeat(32, axis=2)
    labels = [identity for identity in range(IDENTITIES) for _ in range(4)]
    hr = (clothes[labels] + random.normal(0, 10, (len(labels), 64, 32, 3))).clip(0, 255).astype(np.uint8)
    return Pairs(hr, np.roll(hr, 1, axis=1), labels)


def network() -> DGRL:
    torch.manual_seed(0)
    return DGRL(RECIPE.model)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_dgrl(RECIPE, network(), pairs(), tmp_path_factory.mktemp("whole"), CPU)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_dgrl(path).state_dict()


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def test_the_same_seed_gives_the_same_weights(uninterrupted: Path, tmp_path: Path) -> None:
    assert_same(weights(uninterrupted), weights(train_dgrl(RECIPE, network(), pairs(), tmp_path, CPU)))


SCRIPT = """
import sys, dataclasses
from pathlib import Path
from tests.training.test_runs import RECIPE, CPU, network, pairs
from training import train_dgrl as module

save = module.save_state
def announce(*args):
    save(*args)
    print("saved", args[-1].step, flush=True)
module.save_state = announce
torch_threads = __import__("torch").set_num_threads(1)
recipe = dataclasses.replace(RECIPE, checkpoint_minutes=0.0, ema=0.9)
module.train_dgrl(recipe, network(), pairs(), Path(sys.argv[1]), CPU)
"""


def test_a_run_killed_at_any_step_goes_on_with_the_same_curve(tmp_path: Path) -> None:
    """kill -9 twice while a real process trains; the third run must end where an unbroken one ends.

    With an average of the weights, and to the last bit of all that a checkpoint holds.
    """
    recipe = dataclasses.replace(RECIPE, checkpoint_minutes=0.0, ema=0.9)
    whole = train_dgrl(recipe, network(), pairs(), tmp_path / "whole", CPU)
    folder, last = tmp_path / "killed", 0
    for saves in (3, 4):
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(folder)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        assert process.stdout is not None
        with process.stdout as lines:
            for _ in range(saves):
                words = lines.readline().split()
                assert words[0] == "saved" and int(words[1]) > last  # it goes on, and does not begin anew
                last = int(words[1])
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
    torch.set_num_threads(1)
    assert_same(weights(whole), weights(train_dgrl(recipe, network(), pairs(), folder, CPU)))
    states = [load_file(run / STATE_NAME) for run in (whole.parent, folder)]
    assert {name.split(".")[0] for name in states[0]} == {"model", "average", "optimiser"}
    assert_same(*states)


def test_training_lowers_the_loss_and_separates_the_identities(uninterrupted: Path) -> None:
    trained = load_dgrl(uninterrupted).embedder.eval()
    data = pairs()
    pixels = torch.from_numpy(data.hr.astype(np.float32)).permute(0, 3, 1, 2)
    with torch.inference_mode():
        vectors = trained((pixels / 255 - 0.45) / 0.225, "hr")
    similar = vectors @ vectors.T
    same = torch.tensor(data.labels).unsqueeze(0) == torch.tensor(data.labels).unsqueeze(1)
    assert similar[same].mean() > similar[~same].mean() + 0.2


def test_another_recipe_does_not_go_on_from_a_checkpoint(tmp_path: Path) -> None:
    train_dgrl(dataclasses.replace(RECIPE, epochs=1), network(), pairs(), tmp_path, CPU)
    with pytest.raises(CheckpointError, match=r"another recipe \(different: epochs\)"):
        train_dgrl(RECIPE, network(), pairs(), tmp_path, CPU)


def test_a_checkpoint_from_before_a_field_existed_goes_on_where_the_field_has_its_default(
    tmp_path: Path,
) -> None:
    module, path = network(), tmp_path / STATE_NAME
    optimiser, older = make_optimiser(RECIPE.optimiser, module), as_json(RECIPE)
    del older["collapse"], older["augment"]["erasing"]
    save_state(path, {"model": module}, optimiser, Progressed(7, older))
    assert load_state(path, {"model": module}, optimiser, as_json(RECIPE), as_json(DGRLRecipe())) == 7
    erasing = as_json(dataclasses.replace(RECIPE, augment=AugmentConfig(erasing=0.5)))
    with pytest.raises(CheckpointError, match="different: augment"):
        load_state(path, {"model": module}, optimiser, erasing, as_json(DGRLRecipe()))


def test_a_truncated_checkpoint_is_named(tmp_path: Path) -> None:
    train_dgrl(dataclasses.replace(RECIPE, epochs=1), network(), pairs(), tmp_path, CPU)
    state = tmp_path / STATE_NAME
    state.write_bytes(state.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"state\.safetensors: not a readable checkpoint"):
        train_dgrl(dataclasses.replace(RECIPE, epochs=1), network(), pairs(), tmp_path, CPU)


def test_a_full_disk_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    module, path = network(), tmp_path / STATE_NAME
    optimiser = make_optimiser(RECIPE.optimiser, module)
    save_state(path, {"model": module}, optimiser, Progressed(7, as_json(RECIPE)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(CheckpointError, match="the last checkpoint stands"):
            save_state(path, {"model": module}, optimiser, Progressed(8, as_json(RECIPE)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert load_state(path, {"model": network()}, optimiser, as_json(RECIPE), as_json(DGRLRecipe())) == 7
    assert sorted(file.name for file in tmp_path.iterdir()) == [STATE_NAME]


def test_a_loss_that_is_not_finite_stops_the_run_and_says_where(tmp_path: Path) -> None:
    wild = dataclasses.replace(RECIPE, optimiser=OptimiserConfig(rate=1e9, warmup_epochs=0, milestones=()))
    with pytest.raises(TrainingFailed, match=r"not finite at step \d"):
        train_dgrl(wild, network(), pairs(), tmp_path, CPU)


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_market1501(tmp_path_factory.mktemp("market"), train=IDENTITIES)


RCAN_TOML = """
epochs = 2
batch = 6
height = 64
width = 32
precision = "float32"
[model]
scales = [2, 3, 4]
groups = 1
blocks = 1
features = 8
reduction = 4
image_skip = true
"""
DGRL_TOML = f"""
name = "tiny"
epochs = 2
identities_per_batch = 3
pairs_per_identity = 2
precision = "float32"
[model]
identities = {IDENTITIES}
height = 64
width = 32
stem_channels = 8
stage_blocks = {list(TINY_MODEL.stage_blocks)}
dimension = 16
groups = 4
group_hidden = 8
restormer_block = {{ dim = 8, heads = 2 }}
"""


def command(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


def test_both_trainings_from_images_to_weights_by_two_commands(
    market: Path, tmp_path: Path, uninterrupted: Path
) -> None:
    (tmp_path / "rcan.toml").write_text(RCAN_TOML)
    (tmp_path / "dgrl.toml").write_text(DGRL_TOML)
    common = ["--cache", tmp_path / "cache", "--no-strict-counts", "--device", "cpu"]
    save_weights(tmp_path / "x2.safetensors", RCAN(RCANConfig((2,), 1, 1, 8, 4, True)))
    start = ["--start-from", tmp_path / "x2.safetensors"]
    said = command(
        "rcan", market, "--recipe", tmp_path / "rcan.toml", "--out", tmp_path / "rcan", *start, *common
    )
    assert "bicubic PSNR" in said
    rcan = tmp_path / "rcan" / "rcan.safetensors"
    assert load_rcan(rcan).config.scales == (2, 3, 4)
    command(
        *("dgrl", market, "--rcan", rcan, "--start-from", uninterrupted),
        *("--recipe", tmp_path / "dgrl.toml", "--out", tmp_path / "dgrl", *common),
    )
    record = TrainingRecord.model_validate_json((tmp_path / "dgrl" / "record.json").read_text())
    assert (record.recipe, record.details["identities"]) == ("tiny", IDENTITIES)
    assert "research" in record.terms
    assert load_dgrl(tmp_path / "dgrl" / "dgrl.safetensors").config.identities == IDENTITIES


def test_a_run_goes_on_with_the_same_twins_only(market: Path, tmp_path: Path, uninterrupted: Path) -> None:
    (tmp_path / "dgrl.toml").write_text(DGRL_TOML)
    save_weights(tmp_path / "rcan.safetensors", RCAN(RCANConfig((2, 3, 4), 1, 1, 8, 4, True)))
    words = ["dgrl", market, "--recipe", tmp_path / "dgrl.toml", "--start-from", uninterrupted]
    words += [
        "--out",
        tmp_path / "out",
        "--cache",
        tmp_path / "cache",
        "--no-strict-counts",
        "--device",
        "cpu",
    ]
    command(*words, "--bilinear")
    command(*words, "--bilinear")  # finished: nothing is left to do
    other = CliRunner().invoke(app, [str(word) for word in (*words, "--rcan", tmp_path / "rcan.safetensors")])
    assert other.exit_code == 2 and "(different: twins)" in other.output


def test_the_sr_cache_depends_on_the_rcan_weights(market: Path, tmp_path: Path) -> None:
    from tests.support.tiny_networks import tiny_rcan
    from training.data.manifest import build_manifest
    from training.data.market1501 import load_market1501
    from training.super_resolve import super_resolved

    manifest = build_manifest(load_market1501(market, strict_counts=False), "all", 0)
    entries = [entry for entry in manifest.of("train") if entry.r == 4]
    network = tiny_rcan()

    def cached() -> np.ndarray:
        return super_resolved(
            market, manifest, entries, network, reference=(64, 32), size=(64, 32), cache=tmp_path, device=CPU
        )

    first = cached()
    assert np.array_equal(first, cached()) and len(list(tmp_path.glob("*.npy"))) == 1
    with torch.no_grad():
        network.tails["4"][1].bias.add_(20)
    assert not np.array_equal(first, cached()) and len(list(tmp_path.glob("*.npy"))) == 2


def test_a_run_that_is_interrupted_says_how_to_go_on_and_from_where_it_does(
    market: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "dgrl.toml").write_text("checkpoint_minutes = 0.0\n" + DGRL_TOML)
    save_weights(tmp_path / "start.safetensors", network())
    words = ["dgrl", str(market), "--bilinear", "--start-from", str(tmp_path / "start.safetensors")]
    words += ["--recipe", str(tmp_path / "dgrl.toml"), "--out", str(tmp_path / "run"), "--device", "cpu"]
    words += ["--cache", str(tmp_path / "cache"), "--no-strict-counts"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.train_dgrl.save_state", Interrupting(3))
        stopped = CliRunner().invoke(app, words)
    assert stopped.exit_code == 130 and "the same command goes on from the last checkpoint" in stopped.output
    with caplog.at_level("INFO", "training"):
        assert CliRunner().invoke(app, words).exit_code == 0
    assert "going on after step 3 of 6" in caplog.text


class Interrupting:
    """`save_state`, with Ctrl-C right after the checkpoint of that number."""

    def __init__(self, number: int) -> None:
        self._left = number

    def __call__(self, *arguments: Any) -> None:
        save_state(*arguments)
        self._left -= 1
        if not self._left:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--bilinear", "--rcan", "x.safetensors"], "either --rcan WEIGHTS or --bilinear"),
        (["--rcan", "absent.safetensors"], "absent.safetensors: no such weights file"),
        (["--bilinear", "--imagenet", "absent.safetensors"], "absent.safetensors: no such weights file"),
        (["--bilinear", "--recipe", "absent.toml"], "absent.toml: no such recipe"),
        (["--bilinear", "--device", "cuda"], "sees no CUDA device"),
        (["--bilinear", "--device", "gpu"], "'gpu' is not a device"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(
    market: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    if "cuda" in words and torch.cuda.is_available():
        pytest.skip("this machine has the GPU whose absence is tested")
    common = ["--cache", str(tmp_path / "cache"), "--no-strict-counts", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, ["dgrl", str(market), *words, *common])
    assert result.exit_code == 2 and message in result.output
    assert "Traceback" not in result.output
