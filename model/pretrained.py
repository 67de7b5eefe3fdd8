"""ImageNet weights as the start of training: each block of DGRL from the pretrained one of its shape."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from model.dgrl import DGRL
from model.non_local import NonLocal
from model.side_branch import LAYER3_BLOCKS, LAYER4_BLOCKS
from model.weights import WeightsError


def load_imagenet(path: Path) -> dict[str, Tensor]:
    """A ResNet-50 state in torchvision's key names, float32, without `fc`."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    try:
        state = load_file(path)
    except SafetensorError as error:
        raise WeightsError(
            f"{path}: not a safetensors file, which ImageNet weights are to be ({error})"
        ) from error
    return {name: tensor.float() for name, tensor in state.items() if not name.startswith("fc.")}


def start_from_imagenet(network: DGRL, state: Mapping[str, Tensor]) -> None:
    """Fill stems, trunk and side branches in place; Restormer, non-local blocks and heads stay as they are."""
    embedder = network.embedder
    for stem in (embedder.stem_hr, embedder.stem_sr):
        _load(stem.conv1, state, "conv1.")
        _load(stem.bn1, state, "bn1.")
    for name in ("layer1", "layer2", "layer3", "layer4"):
        blocks = [block for block in getattr(embedder.trunk, name) if not isinstance(block, NonLocal)]
        _load_blocks(blocks, state, name)
    if network.side2 is not None and network.side3 is not None:
        blocks = list(network.side2.blocks)
        _load_blocks(blocks[:LAYER3_BLOCKS], state, "layer3")
        _load_blocks(blocks[LAYER3_BLOCKS:], state, "layer4")
        _load_blocks(list(network.side3.blocks)[:LAYER4_BLOCKS], state, "layer4")


def _load_blocks(blocks: list[nn.Module], state: Mapping[str, Tensor], stage: str) -> None:
    for position, block in enumerate(blocks):
        _load(block, state, f"{stage}.{position}.")


def _load(module: nn.Module, state: Mapping[str, Tensor], prefix: str) -> None:
    part = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
    if "num_batches_tracked" in module.state_dict():  # not in every published file, and of no effect here
        part.setdefault("num_batches_tracked", module.state_dict()["num_batches_tracked"])
    try:
        missing, unexpected = module.load_state_dict(part, strict=False)
    except RuntimeError as error:
        raise WeightsError(f"ImageNet weights do not fit at {prefix}: {error}") from error
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    if missing or unexpected:
        raise WeightsError(
            f"ImageNet weights do not fit at {prefix}: missing {missing}, unexpected {unexpected}"
        )
