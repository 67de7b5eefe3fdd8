"""RCAN keeps the weights that measured best, says which step it was, and resumes to the same."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from model.config import RCANConfig
from model.rcan import RCAN
from model.weights import WeightsError, load_rcan, save_weights
from training.best import BEST_NAME, Best, mean_psnr
from training.checkpoint import STATE_NAME
from training.config import RCANRecipe
from training.failure import TrainingFailed
from training.start import rcan_from
from training.super_resolution_quality import Quality, measure
from training.train_rcan import FINAL_NAME, WEIGHTS_NAME, RCANData, train_rcan

CPU = torch.device("cpu")
RECIPE = RCANRecipe(
    name="tiny",
    model=RCANConfig(scales=(2, 3), groups=1, blocks=1, features=8, reduction=4, image_skip=True),
    epochs=2.0,
    batch=4,
    rate=3e-3,
    precision="float32",
    measure_steps=2,
)


def data() -> RCANData:
    blocks = np.random.default_rng(0).integers(0, 256, (20, 6, 3, 3), dtype=np.uint8)
    images = blocks.repeat(4, axis=1).repeat(4, axis=2)  # (20, 24, 12, 3)
    return RCANData(train=images[:16], validation=images[16:])


def quality(psnr: float) -> dict[int, Quality]:
    return {2: Quality(psnr, 0.9, 20, 0.8)}


def test_only_better_weights_replace_the_kept_ones(tmp_path: Path) -> None:
    torch.manual_seed(0)
    networks = [RCAN(RECIPE.model) for _ in range(3)]
    best = Best(tmp_path, WEIGHTS_NAME, fresh=True)
    for step, psnr in enumerate((20.0, 22.0, 21.0)):
        best.offer(step, networks[step], quality(psnr))
    kept = load_rcan(tmp_path / WEIGHTS_NAME).state_dict()
    assert all(torch.equal(tensor, networks[1].state_dict()[name]) for name, tensor in kept.items())
    described = json.loads((tmp_path / BEST_NAME).read_text())
    assert (described["step"], described["psnr"]) == (1, 22.0)
    assert Best(tmp_path, WEIGHTS_NAME, fresh=False).step() == 1
    fresh = Best(tmp_path, WEIGHTS_NAME, fresh=True)
    fresh.offer(9, networks[2], quality(10.0))  # another run in this folder starts anew
    assert fresh.step() == 9


def test_a_run_leaves_the_best_and_the_last_weights(tmp_path: Path) -> None:
    step = train_rcan(RECIPE, data(), tmp_path, CPU)
    described = json.loads((tmp_path / BEST_NAME).read_text())
    assert described["step"] == step and step % 2 == 0 and 0 < step <= 8
    best, last = (
        measure(load_rcan(tmp_path / name), data().validation, CPU) for name in (WEIGHTS_NAME, FINAL_NAME)
    )
    assert described["psnr"] == mean_psnr(best) >= mean_psnr(last)


def worse_and_worse(network: RCAN, *_: object) -> dict[int, Quality]:
    """Worse the further the weights are from where the run began."""
    torch.manual_seed(RECIPE.seed)
    moved = [
        (p - q).square().sum()
        for p, q in zip(network.parameters(), RCAN(RECIPE.model).parameters(), strict=True)
    ]
    return quality(-torch.stack(moved).sum().item())


def test_a_run_that_gets_worse_keeps_its_best_step_also_when_it_is_cut_off_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, half = dataclasses.replace(RECIPE, checkpoint_minutes=0.0), tmp_path / "half"
    monkeypatch.setattr("training.train_rcan.measure", worse_and_worse)
    train_rcan(recipe, data(), tmp_path / "whole", CPU)
    measurements = 0

    def cut_off_at_the_third(network: RCAN, *_: object) -> dict[int, Quality]:
        nonlocal measurements
        measurements += 1
        if measurements == 3:  # after 6 steps
            raise KeyboardInterrupt
        return worse_and_worse(network)

    monkeypatch.setattr("training.train_rcan.measure", cut_off_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        train_rcan(recipe, data(), half, CPU)
    train_rcan(recipe, data(), half, CPU)
    assert measurements == 5  # went on after 5 steps: the third again, and the fourth
    assert json.loads((half / BEST_NAME).read_text())["step"] == 2  # of 8
    assert (tmp_path / "whole" / BEST_NAME).read_text() == (half / BEST_NAME).read_text()
    for name in (STATE_NAME, WEIGHTS_NAME, FINAL_NAME):
        one, two = load_file(tmp_path / "whole" / name), load_file(half / name)
        assert [key for key in one if not torch.equal(one[key], two[key])] == []


def test_a_loss_that_is_not_finite_stops_the_run_and_says_where(tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match=r"not finite at step \d"):
        train_rcan(dataclasses.replace(RECIPE, rate=1e38, epochs=8), data(), tmp_path, CPU)


def test_other_scales_start_from_another_networks_body(tmp_path: Path) -> None:
    torch.manual_seed(1)
    twice = RCAN(dataclasses.replace(RECIPE.model, scales=(2,)))
    save_weights(tmp_path / "x2.safetensors", twice)
    begun = rcan_from(RECIPE.model, 0, tmp_path / "x2.safetensors").state_dict()
    assert all(torch.equal(begun[name], tensor) for name, tensor in twice.state_dict().items())
    frozen = dataclasses.replace(RECIPE, rate=0.0, epochs=0.25)
    train_rcan(frozen, data(), tmp_path / "run", CPU, tmp_path / "x2.safetensors")
    ended = load_rcan(tmp_path / "run" / FINAL_NAME).state_dict()
    assert all(torch.equal(begun[name], tensor) for name, tensor in ended.items())
    wider = dataclasses.replace(RECIPE.model, features=16)
    with pytest.raises(WeightsError, match=r"another body than the recipe's.*features = 8"):
        rcan_from(wider, 0, tmp_path / "x2.safetensors")
