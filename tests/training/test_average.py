"""The average of the weights against a slow statement of it, and as a run's result."""

import dataclasses
import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from model.weights import load_dgrl
from tests.training.test_runs import CPU, RECIPE, network, pairs
from training.average import Average
from training.train_dgrl import train_dgrl


def test_weights_and_statistics_are_averaged_and_counters_are_the_last() -> None:
    torch.manual_seed(0)
    live = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    average = Average(live, 0.5)
    expected = {name: tensor.double().clone() for name, tensor in live.state_dict().items()}
    for step in range(12):
        with torch.no_grad():
            live[0].weight.add_(torch.randn(4, 3))
        live(torch.randn(8, 3))
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        for name, tensor in live.state_dict().items():
            expected[name] = decay * expected[name] + (1 - decay) * tensor.double()
    found = average.network.state_dict()
    assert found.pop("1.num_batches_tracked") == 12
    for name, tensor in found.items():
        torch.testing.assert_close(tensor.double(), expected[name], rtol=1e-5, atol=1e-6)
    assert not torch.equal(found["1.running_var"], live.state_dict()["1.running_var"])


def test_the_final_weights_are_the_average_with_its_statistics(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=1, ema=0.9)
    trained = network()
    with caplog.at_level(logging.INFO, "training"):
        averaged = load_dgrl(train_dgrl(recipe, trained, pairs(), tmp_path / "with", CPU)).state_dict()
    assert "the average of weights and BatchNorm statistics, decay 0.9" in caplog.text
    without = train_dgrl(dataclasses.replace(recipe, ema=0.0), network(), pairs(), tmp_path / "without", CPU)
    live = load_dgrl(without).state_dict()
    for name in ("embedder.head.neck.norm.running_var", "classifier.weight"):
        assert torch.equal(trained.state_dict()[name], live[name])  # the average changes no step
        assert not torch.equal(averaged[name], live[name])
