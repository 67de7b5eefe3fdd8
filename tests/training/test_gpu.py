"""What only a CUDA device can show: `pytest -m gpu`."""

import dataclasses
from pathlib import Path

import pytest
import torch

from tests.training.test_runs import RECIPE, network, pairs, weights
from training.config import OptimiserConfig
from training.failure import TrainingFailed
from training.step_clock import StepClock
from training.train_dgrl import train_dgrl

pytestmark = pytest.mark.gpu
CUDA = torch.device("cuda")


class Strict(StepClock):
    """Within a step, whatever waits for the device is an error."""

    def begin(self) -> None:
        super().begin()
        torch.cuda.set_sync_debug_mode("error")

    def lap(self, part: str) -> None:
        super().lap(part)
        if part == "optimiser":
            torch.cuda.set_sync_debug_mode("default")


def test_no_step_waits_for_the_device(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, log_steps=1000, precision="bfloat16", ema=0.9)
    try:
        train_dgrl(recipe, network(), pairs(), tmp_path, CUDA, clock=Strict(CUDA))
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_loss_that_is_not_finite_stops_the_run_though_no_step_is_waited_for(tmp_path: Path) -> None:
    wild = dataclasses.replace(
        RECIPE, optimiser=OptimiserConfig(rate=1e9, warmup_epochs=0, milestones=()), log_steps=1000
    )
    with pytest.raises(TrainingFailed, match="not finite"):
        train_dgrl(wild, network(), pairs(), tmp_path, CUDA)


def test_a_resumed_run_ends_where_an_unbroken_one_ends(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, checkpoint_minutes=0.0)
    whole = weights(train_dgrl(recipe, network(), pairs(), tmp_path / "whole", CUDA))
    stopped, steps = network(), 0

    def stop(*_: object) -> None:
        nonlocal steps
        steps += 1
        if steps == 5:
            raise KeyboardInterrupt

    stopped.register_forward_pre_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        train_dgrl(recipe, stopped, pairs(), tmp_path / "resumed", CUDA)
    resumed = weights(train_dgrl(recipe, network(), pairs(), tmp_path / "resumed", CUDA))
    for name, tensor in whole.items():  # cuDNN's sums differ in the last bits from run to run
        torch.testing.assert_close(resumed[name], tensor, rtol=1e-2, atol=1e-3, msg=name)
