"""The sizes that DGRL.md and the publications state: a wrong layer shows here first."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from model.config import ModelConfig, RCANConfig, RestormerConfig
from model.embedder import Embedder
from model.rcan import RCAN
from model.restormer import RestormerBlock


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def giga_macs(config: ModelConfig) -> float:
    embedder = Embedder(config).eval()
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        embedder(torch.zeros(1, 3, 256, 128), "hr")
    return counter.get_total_flops() / 2e9


@pytest.mark.parametrize(("scale", "expected"), [(2, 15_444_643), (3, 15_629_283), (4, 15_592_355)])
def test_the_published_rcan_has_its_published_size(scale: int, expected: int) -> None:
    with torch.device("meta"):
        network = RCAN(RCANConfig(scales=(scale,)))
    assert parameters(network) == expected


def test_a_restormer_block_has_54_072_parameters() -> None:
    assert parameters(RestormerBlock(RestormerConfig())) == 54_072


def test_the_backbone_costs_4_05_gmac_and_the_whole_embedder_5_86() -> None:
    assert giga_macs(ModelConfig(non_local=False, restormer=False, galn=False)) == pytest.approx(
        4.05, abs=0.02
    )
    assert giga_macs(ModelConfig()) == pytest.approx(5.86, abs=0.02)


def test_the_embedder_has_66_million_parameters() -> None:
    with torch.device("meta"):
        embedder = Embedder(ModelConfig())
    assert parameters(embedder) == 65_744_657
    assert parameters(embedder.head) == pytest.approx(34.8e6, rel=0.01)
