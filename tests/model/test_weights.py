"""Weights on disk: they come back with their architecture, and a wrong file is named."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from model.config import RCANConfig
from model.dgrl import DGRL
from model.pretrained import load_imagenet, start_from_imagenet
from model.rcan import RCAN
from model.weights import (
    WeightsError,
    from_published_rcan,
    load_dgrl,
    load_published_rcan,
    load_rcan,
    save_weights,
)
from tests.support.tiny_networks import TINY_MODEL, TINY_RCAN


def test_dgrl_comes_back_with_its_architecture(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = DGRL(TINY_MODEL)
    save_weights(tmp_path / "dgrl.safetensors", network)
    loaded = load_dgrl(tmp_path / "dgrl.safetensors")
    assert loaded.config == TINY_MODEL
    assert all(
        torch.equal(tensor, loaded.state_dict()[name]) for name, tensor in network.state_dict().items()
    )


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rcan.safetensors"
    save_weights(path, RCAN(TINY_RCAN))
    assert load_rcan(path).config == TINY_RCAN
    with pytest.raises(WeightsError, match=r"rcan\.safetensors: holds RCAN weights, DGRL was asked for"):
        load_dgrl(path)


@pytest.mark.parametrize(
    "damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"not weights at all"]
)
def test_a_damaged_file_is_named(tmp_path: Path, damage: object) -> None:
    path = tmp_path / "rcan.safetensors"
    save_weights(path, RCAN(TINY_RCAN))
    assert callable(damage)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(WeightsError, match=r"rcan\.safetensors: not a readable safetensors file"):
        load_rcan(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no such weights file"):
        load_dgrl(tmp_path / "nowhere.safetensors")


def test_published_rcan_keys_map_one_to_one() -> None:
    config = RCANConfig(scales=(4,), groups=2, blocks=2, features=8, reduction=4)
    ours = RCAN(config)
    published = {name.replace("tails.4.", "tail."): tensor for name, tensor in ours.state_dict().items()}
    published |= {
        f"{shift}.{part}": torch.zeros(3) for shift in ("sub_mean", "add_mean") for part in ("weight", "bias")
    }
    assert {
        "head.0.weight",
        "body.1.body.1.body.3.conv_du.2.bias",
        "body.1.body.2.weight",
        "body.2.weight",
    } <= {*published}
    assert {"tail.0.0.weight", "tail.0.2.weight", "tail.1.weight"} <= {*published}
    loaded = from_published_rcan(published, config)
    x = torch.rand(1, 3, 6, 5) * 255
    assert torch.equal(loaded(x, 4), ours(x, 4))


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_published_rcan_file_says_what_network_it_is(scale: int, suffix: str, tmp_path: Path) -> None:
    ours = RCAN(RCANConfig(scales=(scale,), groups=2, blocks=3, features=8, reduction=4))
    published = {n.replace(f"tails.{scale}.", "tail."): t.clone() for n, t in ours.state_dict().items()}
    published |= {"sub_mean.weight": torch.eye(3), "add_mean.bias": torch.zeros(3)}
    path = tmp_path / f"rcan{suffix}"
    (torch.save if suffix == ".pt" else save_file)(published, path)
    loaded = load_published_rcan(path)
    assert loaded.config == ours.config
    x = torch.rand(1, 3, 6, 5) * 255
    assert torch.equal(loaded(x, scale), ours(x, scale))


def test_files_that_are_no_published_rcan_are_named(tmp_path: Path) -> None:
    torch.save({"head.0.weight": torch.zeros(8, 3, 3, 3)}, tmp_path / "other.pt")
    (tmp_path / "broken.pt").write_bytes(b"not weights")
    for name, message in (
        ("other.pt", "not in the published RCAN's key layout"),
        ("broken.pt", "not a readable checkpoint"),
        ("absent.pt", "no such weights file"),
    ):
        with pytest.raises(WeightsError, match=f"{name}: {message}"):
            load_published_rcan(tmp_path / name)


def test_imagenet_weights_fill_stems_trunk_and_sides(tmp_path: Path) -> None:
    """A small 'ImageNet' file in torchvision's key names, made from one network, must come out in another."""
    torch.manual_seed(0)
    source, network = DGRL(TINY_MODEL), DGRL(TINY_MODEL)
    state = {
        f"{layer}.{k}": v
        for layer in ("conv1", "bn1")
        for k, v in getattr(source.embedder.stem_hr, layer).state_dict().items()
    }
    for number in (1, 2, 3, 4):
        for position, block in enumerate(
            b for b in getattr(source.embedder.trunk, f"layer{number}") if type(b).__name__ == "Bottleneck"
        ):
            state |= {f"layer{number}.{position}.{k}": v for k, v in block.state_dict().items()}
    # the side branches have more blocks of layer3's and layer4's kind than this tiny trunk
    for number, blocks in ((3, list(source.side2.blocks)[:3]), (4, list(source.side2.blocks)[3:])):
        for position, block in enumerate(blocks):
            if position:
                state |= {f"layer{number}.{position}.{k}": v for k, v in block.state_dict().items()}
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "imagenet.safetensors")
    start_from_imagenet(network, load_imagenet(tmp_path / "imagenet.safetensors"))
    stem, side = network.embedder.stem_sr, network.side3
    assert torch.equal(stem.conv1.weight, source.embedder.stem_hr.conv1.weight)
    assert side is not None
    assert torch.equal(side.blocks[0].conv1.weight, source.embedder.trunk.layer4[0].conv1.weight)


def test_imagenet_weights_in_another_format_are_named(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "resnet50.pth")
    with pytest.raises(WeightsError, match=r"resnet50\.pth: not a safetensors file"):
        load_imagenet(tmp_path / "resnet50.pth")


def test_imagenet_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    assert load_file(tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="do not fit at conv1"):
        start_from_imagenet(DGRL(TINY_MODEL), load_imagenet(tmp_path / "other.safetensors"))
