"""Properties of the training network that no shape check shows."""

import dataclasses

import pytest
import torch

from model.dgrl import DGRL
from tests.support.tiny_networks import TINY_MODEL
from training.losses.shallow import shallow_loss


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    hr = torch.randn(6, 3, 64, 32, generator=random)
    return hr, hr + 0.1 * torch.randn(6, 3, 64, 32, generator=random)


def make(**changes: object) -> DGRL:
    torch.manual_seed(0)
    return DGRL(dataclasses.replace(TINY_MODEL, **{"non_local": True, **changes}))


def test_every_parameter_gets_a_gradient(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    network = make()
    for module in network.modules():  # the non-local blocks start closed: open their output norms
        if isinstance(module, torch.nn.BatchNorm2d) and not module.weight.any():
            torch.nn.init.constant_(module.weight, 0.5)
    output = network(*pair)
    total = sum(b.logits.square().sum() + b.feature.square().sum() for b in output.branches)
    (total + shallow_loss(output.shallow_hr, output.shallow_sr)).backward()
    silent = [
        name
        for name, p in network.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    assert silent == []


def test_the_shallow_loss_reaches_both_stems_and_nothing_else(
    pair: tuple[torch.Tensor, torch.Tensor],
) -> None:
    network = make()
    output = network(*pair)
    shallow_loss(output.shallow_hr, output.shallow_sr).backward()
    reached = {name.split(".")[1] for name, p in network.named_parameters() if p.grad is not None}
    assert reached == {"stem_hr", "stem_sr"}


def test_removing_the_side_branches_changes_no_main_embedding(
    pair: tuple[torch.Tensor, torch.Tensor],
) -> None:
    with_sides, without = make().eval(), make(side_branches=False).eval()
    without.load_state_dict({k: v for k, v in with_sides.state_dict().items() if not k.startswith("side")})
    hr, sr = pair
    assert torch.equal(with_sides.embedder(hr, "hr"), without.embedder(hr, "hr"))
    assert torch.equal(with_sides(hr, sr).branches[0].feature, without(hr, sr).branches[0].feature)


@pytest.mark.parametrize("off", ["restormer", "non_local", "galn", "side_branches"])
def test_every_component_can_be_switched_off(off: str, pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    full, network = make(), make(**{off: False})
    assert sum(p.numel() for p in network.parameters()) < sum(p.numel() for p in full.parameters())
    output = network(*pair)
    assert len(output.branches) == (1 if off == "side_branches" else 3)
    assert output.branches[0].feature.shape == (12, network.config.embedding_dimension)
    assert (output.branches[0].groups is None) == (off == "galn")


def test_embeddings_are_unit_and_a_batch_equals_its_singles(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    embedder = make().eval().embedder
    hr, _ = pair
    together = embedder(hr, "hr")
    singles = torch.cat([embedder(hr[i : i + 1], "hr") for i in range(len(hr))])
    torch.testing.assert_close(together, singles, atol=1e-5, rtol=0)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(6))


def test_the_two_stems_share_no_weights(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    embedder = make().eval().embedder
    assert not torch.allclose(embedder(pair[0], "hr"), embedder(pair[0], "sr"))
