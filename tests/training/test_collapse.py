"""A collapsed GALN stops the run; nearly uniform groups do not, but are spoken of."""

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.training.test_runs import CPU, RECIPE, network, pairs
from training.checkpoint import STATE_NAME, load_state
from training.collapse import CollapseWatch
from training.config import CollapseConfig, DGRLRecipe, as_json
from training.failure import TrainingFailed
from training.group_use import GroupUse, group_use
from training.optimiser import make_optimiser
from training.train_dgrl import train_dgrl

K = 32
UNIFORM = torch.full((96, K), 1 / K)
ONE_GROUP = torch.eye(K)[torch.zeros(96, dtype=torch.long)]
SPREAD = torch.eye(K)[torch.arange(96) % K]


def test_the_figures_of_a_batch() -> None:
    spread, one, uniform = group_use(SPREAD), group_use(ONE_GROUP), group_use(UNIFORM)
    assert (one.entropy, one.entropy_of_mean, one.used, one.effective) == (0, 0, 1, 1)
    assert (spread.entropy, spread.used) == (0, K) and spread.effective == pytest.approx(K)
    assert uniform.entropy == pytest.approx(np.log(K)) and uniform.effective == pytest.approx(K)
    assert spread.differentiation == pytest.approx(1)
    assert (one.differentiation, uniform.differentiation) == pytest.approx((0, 0), abs=1e-6)


def watched(*batches: Tensor, warm_up: int = 0) -> CollapseWatch:
    watch = CollapseWatch(CollapseConfig(reports=3), warm_up)
    for step, probabilities in enumerate(batches):
        watch.report(10 * step, {"main": group_use(SPREAD), "side2": group_use(probabilities)})
    return watch


def test_one_group_for_all_is_not_called_a_mix_of_all(caplog: pytest.LogCaptureFixture) -> None:
    watched(SPREAD, 0.97 * ONE_GROUP + 0.03 * UNIFORM)
    assert not caplog.records


def test_one_group_for_all_in_a_row_stops_with_branch_step_and_figures() -> None:
    almost = 0.97 * ONE_GROUP + 0.03 * UNIFORM
    with pytest.raises(
        TrainingFailed, match=r"at step 31 in branch side2: 3 reports.* used 1\.\d\d of 32 groups"
    ):
        watched(SPREAD, almost, almost, almost)
    watched(almost, almost, SPREAD, almost, almost)  # never three in a row


@pytest.mark.parametrize("nearly", [UNIFORM, 0.999 * UNIFORM + 0.001 * ONE_GROUP])
def test_uniform_groups_are_no_collapse_but_said_once_after_the_warm_up(
    nearly: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    watched(*[nearly] * 8, warm_up=1000)
    assert not caplog.records
    watched(*[nearly] * 8, warm_up=30)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "groups are not differentiated (side2)" in record.getMessage()


def test_a_use_below_the_threshold_is_suspected() -> None:
    watch = CollapseWatch(CollapseConfig(), 0)
    assert watch.suspects({"main": GroupUse(0, 0.1, 1, K), "side2": GroupUse(0, 2.0, 9, K)}) == ["main"]


def test_a_run_whose_groups_collapse_stops_and_its_last_good_checkpoint_survives(tmp_path: Path) -> None:
    recipe = dataclasses.replace(RECIPE, checkpoint_minutes=0.0, collapse=CollapseConfig(reports=2))
    forced, forwards = network(), 0

    def force(module: nn.Module, _: object) -> None:
        nonlocal forwards
        forwards += 1
        if forwards == 4:  # from the fourth step on, all images go to group 0
            with torch.no_grad():
                forced.embedder.head.galn.assign[-1].bias[0] = 1e4

    forced.register_forward_pre_hook(force)
    with pytest.raises(TrainingFailed, match="GALN collapsed at step 5 in branch main"):
        train_dgrl(recipe, forced, pairs(), tmp_path, CPU)
    module = network()
    optimiser = make_optimiser(recipe.optimiser, module)
    state, described = tmp_path / STATE_NAME, as_json(recipe) | {"twins": pairs().twins}
    assert load_state(state, {"model": module}, optimiser, described, as_json(DGRLRecipe())) == 3
    assert module.embedder.head.galn.assign[-1].bias.max().item() < 100
