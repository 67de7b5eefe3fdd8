"""Each component against a plain statement of its equation."""

import pytest
import torch
from torch import nn

from model.bnneck import BNNeck
from model.config import RCANConfig, RestormerConfig
from model.galn import GALN
from model.gem import GeM, GeneralisedMean
from model.non_local import NonLocal, after_last
from model.rcan import RCAN, to_pixels
from model.resnet import make_stage
from model.restormer import MDTA


def test_galn_with_one_dominant_group_reduces_to_that_group() -> None:
    torch.manual_seed(0)
    galn = GALN(in_features=12, dimension=5, groups=4, hidden=6)
    last = galn.assign[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.0, 0.0, 100.0, 0.0]))
    x = torch.randn(3, 12)
    feature, probabilities = galn(x)
    group = x @ galn.group.weight[10:15].T + galn.group.bias[10:15]  # rows of group 2
    torch.testing.assert_close(feature, galn.instance(x) + group)
    torch.testing.assert_close(probabilities, torch.tensor([[0.0, 0.0, 1.0, 0.0]]).expand(3, 4))


def test_galn_is_the_probability_weighted_sum() -> None:
    torch.manual_seed(0)
    galn = GALN(in_features=12, dimension=5, groups=4, hidden=6)
    x = torch.randn(3, 12)
    feature, p = galn(x)
    groups = galn.group(x).reshape(3, 4, 5)
    torch.testing.assert_close(
        feature, galn.instance(x) + sum(p[:, k, None] * groups[:, k] for k in range(4))
    )


@pytest.mark.parametrize(("power", "expected"), [(1.0, 2.5), (40.0, 4.0)])
def test_gem_spans_mean_and_maximum(power: float, expected: float) -> None:
    x = torch.tensor([1.0, 2.0, 3.0, 4.0]).reshape(1, 1, 2, 2)
    assert GeM(power)(x).item() == pytest.approx(expected, rel=0.05)


def test_gem_stays_finite_where_float16_would_overflow() -> None:
    x = torch.full((1, 1, 2, 2), 60.0, dtype=torch.float16)
    assert GeM(3.0)(x).item() == pytest.approx(60.0)


def test_gems_gradient_in_training_is_that_of_its_formula() -> None:
    torch.manual_seed(0)
    x = (torch.rand(3, 4, 5, 2, dtype=torch.float64) + 1e-3).requires_grad_()
    power = torch.tensor(3.2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(GeneralisedMean.apply, (x, power))
    gem, maps = GeM(2.7), torch.randn(2, 3, 4, 2)  # half of it clamped
    found = []
    for training in (True, False):  # the closed form, and autograd's
        x = maps.clone().requires_grad_()
        gem.train(training).zero_grad()
        y = gem(x)
        (y * torch.arange(6).reshape(2, 3)).sum().backward()
        found.append((y, x.grad, gem.power.grad))
    for closed, auto in zip(*found, strict=True):
        torch.testing.assert_close(closed, auto)


def test_mdta_equals_its_equation_head_by_head() -> None:
    torch.manual_seed(0)
    attention = MDTA(dim=8, heads=2)
    with torch.no_grad():
        attention.temperature.copy_(torch.tensor([0.7, 2.0]).reshape(2, 1, 1))
    x = torch.randn(1, 8, 4, 3)
    q, k, v = attention.qkv_depthwise(attention.qkv(x)).reshape(3, 8, 12)
    rows = []
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        unit_q = q[part] / q[part].norm(dim=1, keepdim=True)
        unit_k = k[part] / k[part].norm(dim=1, keepdim=True)
        rows.append((unit_q @ unit_k.T * attention.temperature[head]).softmax(dim=1) @ v[part])
    expected = attention.project(torch.cat(rows).reshape(1, 8, 4, 3))
    torch.testing.assert_close(attention(x), expected)


def test_a_non_local_block_starts_as_the_identity_and_then_attends_everywhere() -> None:
    torch.manual_seed(0)
    block = NonLocal(8)
    x = torch.randn(2, 8, 4, 3)
    assert torch.equal(block(x), x)
    nn.init.ones_(block.norm.weight)
    block.eval()
    moved = x.clone()
    moved[:, :, 0, 0] += 1
    assert ((block(moved) - block(x))[:, :, 3, 2].abs() > 1e-6).all()


def test_non_local_blocks_stand_behind_the_last_blocks() -> None:
    stage = after_last(make_stage(16, 4, 4, stride=1), channels=16, count=2)
    kinds = [type(block).__name__ for block in stage]
    assert kinds == ["Bottleneck", "Bottleneck", "Bottleneck", "NonLocal", "Bottleneck", "NonLocal"]


def test_the_necks_bias_is_frozen() -> None:
    neck = BNNeck(4)
    assert [name for name, p in neck.named_parameters() if p.requires_grad] == ["norm.weight"]


def test_restormer_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="heads"):
        RestormerConfig(dim=6, heads=4)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_rcan_enlarges_by_each_of_its_scales(scale: int) -> None:
    network = RCAN(RCANConfig(scales=(2, 3, 4), groups=1, blocks=1, features=8, reduction=4))
    assert network(torch.zeros(1, 3, 5, 4), scale).shape == (1, 3, 5 * scale, 4 * scale)


def test_rcan_refuses_a_scale_that_it_lacks() -> None:
    network = RCAN(RCANConfig(scales=(2,), groups=1, blocks=1, features=8, reduction=4))
    with pytest.raises(ValueError, match=r"has the scales \(2,\), not 3"):
        network(torch.zeros(1, 3, 5, 4), 3)


def test_rcans_mean_is_not_trained_and_pixels_are_rounded() -> None:
    network = RCAN(RCANConfig(scales=(2,), groups=1, blocks=1, features=8, reduction=4))
    assert "mean" not in dict(network.named_parameters())
    assert to_pixels(torch.tensor([-3.0, 1.5, 2.5, 254.6, 300.0])).tolist() == [0, 2, 2, 255, 255]
