"""Time, memory and disk are said before a run starts, and a run that clearly lacks room is refused."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from model.dgrl import DGRL
from tests.support.tiny_networks import TINY_MODEL, TINY_RCAN, tiny_rcan
from tests.training.lookalike import make_market1501
from tests.training.test_every_dataset import recipes as recipes
from training import estimate
from training.cli import app
from training.config import DGRLRecipe, LossConfig, OptimiserConfig, RCANRecipe
from training.duration import Duration, seconds_per_step
from training.estimate import DGRLRun, RCANRun, Unmade
from training.needs import Needs, NotEnoughRoom, kept_for_backward, weights
from training.room import free_memory
from training.scaled_pairs import pair

CPU = torch.device("cpu")
RECIPE = DGRLRecipe(
    epochs=5,
    identities_per_batch=4,
    pairs_per_identity=2,
    model=dataclasses.replace(TINY_MODEL, side_branches=False),
    losses=LossConfig(mutual=0.0),
)
LABELS = [identity for identity in range(8) for _ in range(4)]


def run_of(recipe: DGRLRecipe, folder: Path) -> DGRLRun:
    return DGRLRun(recipe, DGRL(recipe.model), LABELS, Unmade(folder, 0, (64, 32)), folder, CPU)


def test_what_a_step_keeps_is_what_autograd_saves() -> None:
    """Two linear layers with a ReLU: the inputs of each, and the ReLU's result, which is the second's input."""

    def make() -> nn.Module:
        return nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8))

    def loss(network: nn.Module) -> Tensor:
        found: Tensor = network(torch.rand(10, 16)).sum()
        return found

    assert kept_for_backward(make, [loss]) == 4 * 10 * (16 + 32)


def test_a_real_step_keeps_as_much_as_the_estimate_says(tmp_path: Path) -> None:
    """The same hooks around a real forward pass, memory really allocated."""
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    network = DGRL(RECIPE.model).train()
    own = {p.untyped_storage().data_ptr() for p in (*network.parameters(), *network.buffers())}
    loss = run_of(RECIPE, tmp_path)._loss(CPU)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        held = loss(network)
    really = sum(size for place, size in kept.items() if place not in own)
    assert held.requires_grad
    assert kept_for_backward(lambda: DGRL(RECIPE.model), [loss]) == pytest.approx(really, rel=0.1)


def test_memory_and_disk_follow_the_recipe(tmp_path: Path) -> None:
    size = weights(DGRL(RECIPE.model))

    def needs(**changed: Any) -> Needs:
        return run_of(dataclasses.replace(RECIPE, **changed), tmp_path).needs()

    plain = needs()
    assert needs(optimiser=OptimiserConfig(kind="adamw")).memory - plain.memory == size
    assert needs(ema=0.999).memory - plain.memory == size
    assert needs(identities_per_batch=8).memory > plain.memory
    assert needs(precision="float32").memory > plain.memory
    assert [made for _, made in plain.disk] == [0, 5 * size]  # two checkpoints with a moment, and weights


def test_steps_are_those_of_the_run(tmp_path: Path) -> None:
    found = run_of(RECIPE, tmp_path).duration(None)
    assert (found.steps, found.before) == (5 * (len(LABELS) // 8), 0)
    assert found.per_step > 0


def test_rcan_is_estimated_too_and_twins_take_their_time(tmp_path: Path) -> None:
    recipe = RCANRecipe(model=TINY_RCAN, height=64, width=32, epochs=3, batch=4)
    run = RCANRun(recipe, 20, Unmade(tmp_path, 20, (64, 32)), tmp_path, CPU)
    assert run.duration().steps == 15
    assert [size for _, size in run.needs().disk] == [20 * 64 * 32 * 3, 7 * weights(tiny_rcan())]
    images = np.zeros((50, 64, 32, 3), np.uint8)
    wide = dataclasses.replace(recipe, model=dataclasses.replace(TINY_RCAN, scales=(2, 3, 4)))
    pairs = [pixels for scale in (2, 3, 4) for pixels in pair(images, scale)]
    more = [dataclasses.replace(run, recipe=wide, images=count).needs().memory for count in (0, 50)]
    assert more[1] - more[0] == sum(pixels.nbytes for pixels in pairs if pixels is not images)
    few, many = (
        Unmade(tmp_path, 0, (64, 32), {4: count}).seconds(tiny_rcan(), (64, 32), CPU)
        for count in (8, 800_000)
    )
    assert 0 < few < many


def test_timing_steps_leaves_the_random_state_alone_and_takes_losses_in_turn() -> None:
    called = []

    def loss(number: int) -> object:
        def found(network: nn.Module) -> Tensor:
            called.append(number)
            value: Tensor = network(torch.rand(4, 8)).mean()
            return value

        return found

    network = nn.Linear(8, 1)
    before = torch.random.get_rng_state()
    seconds_per_step(network, torch.optim.SGD(network.parameters(), 0.1), [loss(2), loss(3)], CPU)  # type: ignore[list-item]
    assert torch.equal(before, torch.random.get_rng_state())
    assert called == [2, 2, 2, 3, 3, 3]  # one warms up, two are timed


ROOMY = Needs(memory=2**33, memory_free=2**35, disk=[(Path("/"), 2**20)])


def test_the_lines_that_are_logged() -> None:
    assert str(ROOMY) == "memory: about 8.0 GiB (32.0 GiB free); disk: 1.0 MiB"
    assert str(dataclasses.replace(ROOMY, memory_free=None)) == "memory: about 8.0 GiB; disk: 1.0 MiB"
    assert str(Duration(1049, 4.9)) == "1,049 steps of 4.9 s: about 86 min"
    slow = Duration(100_000, 4.9, before=60)
    assert str(slow) == "SR twins first: about 60 s; 100,000 steps of 4.9 s: about 136 h 7 min"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"memory_free": 2**32}, r"takes about 8\.0 GiB of memory and 4\.0 GiB are free: .*--force"),
        (
            {"disk": [(Path("/"), 2**60), (Path("/x"), 1)]},
            r"/: the run writes about .* GiB there and .* free",
        ),
        ({"disk": [(Path("/"), 2**59), (Path("/nowhere"), 2**59)]}, "the run writes about 1073741824.0 GiB"),
    ],
)
def test_a_run_without_room_is_refused_unless_forced(
    changed: dict[str, Any], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    tight = dataclasses.replace(ROOMY, **changed)
    with pytest.raises(NotEnoughRoom, match=message):
        tight.check(CPU, force=False)
    with caplog.at_level(logging.WARNING, "training"):
        tight.check(CPU, force=True)
    assert "started all the same" in caplog.text


def test_an_estimate_a_little_over_what_is_free_is_not_refused() -> None:
    dataclasses.replace(ROOMY, memory_free=int(0.9 * ROOMY.memory)).check(CPU, force=False)


def test_the_container_s_limit_counts(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 4000 kB\nMemAvailable: 2000 kB\n")
    assert free_memory(CPU, meminfo, tmp_path) == 2000 * 1024
    (tmp_path / "memory.current").write_text("600\n")
    for limit, free in (("max", 2000 * 1024), ("1000", 400), ("500", 0)):
        (tmp_path / "memory.max").write_text(f"{limit}\n")
        assert free_memory(CPU, meminfo, tmp_path) == free
    assert free_memory(CPU, tmp_path / "none", tmp_path / "none") is None


def test_the_commands_say_it_and_refuse(
    recipes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    words = ["dgrl", make_market1501(tmp_path / "data"), "--bilinear", "--no-strict-counts"]
    words += ["--recipe", recipes / "dgrl.toml", "--start-from", recipes / "start.safetensors"]
    words += ["--out", tmp_path / "out", "--cache", tmp_path / "cache", "--device", "cpu"]

    def run(*more: str) -> tuple[int, str]:
        caplog.clear()
        with caplog.at_level(logging.INFO, "training"):
            result = CliRunner().invoke(app, [str(word) for word in (*words, *more)])
        return result.exit_code, result.output + caplog.text

    monkeypatch.setattr(estimate, "free_memory", lambda device: 2**20)
    code, said = run()
    assert code == 2 and "of memory and 1.0 MiB are free" in said and "Traceback" not in said
    assert not (tmp_path / "out").exists() and not (tmp_path / "cache").exists()
    code, said = run("--force")
    assert code == 0 and "3 steps of" in said and "started all the same" in said
    monkeypatch.undo()
    assert "0 steps of" in run()[1]  # nothing is left to do
