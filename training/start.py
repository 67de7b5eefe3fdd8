"""Where a training starts: DGRL from ImageNet's ResNet-50 or another DGRL, RCAN from another RCAN."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from model.config import ModelConfig, RCANConfig
from model.dgrl import DGRL
from model.pretrained import load_imagenet, start_from_imagenet
from model.rcan import RCAN
from model.weights import WeightsError, load_dgrl, load_published_rcan, load_rcan
from training.export.unpack import bundle_at, unpack_embedder, unpack_rcan


@dataclass(frozen=True, slots=True)
class Start:
    """A network to train and, for the record, where its weights come from.

    What it lacks, `training.settle` makes from the training pairs.
    """

    network: DGRL
    source: str
    lacks_statistics: bool = False  # of the BatchNorms: an exported bundle has them folded away
    lacks_classes: bool = False  # the embedder knows people, but not those that the classifier is for


def from_imagenet(config: ModelConfig, seed: int, weights: Path | None) -> Start:
    """ImageNet's ResNet-50 from a safetensors file, or torchvision's IMAGENET1K_V1 where torchvision works."""
    torch.manual_seed(seed)
    network = DGRL(config)
    state, source = (load_imagenet(weights), weights.name) if weights else _torchvision_weights()
    start_from_imagenet(network, state)
    return Start(network, f"ImageNet-1k ResNet-50 ({source})")


def from_weights(config: ModelConfig, seed: int, weights: Path) -> Start:
    """Every tensor of another DGRL that the architecture shares, by name and shape.

    `weights` is a checkpoint, or the folder of a bundle. A network with other switches (side branches, say) keeps
    its own initialisation for the rest; the embedder must be covered whole. Raises WeightsError.
    """
    torch.manual_seed(seed)
    network = DGRL(config)
    bundle = bundle_at(weights) if weights.is_dir() else None
    given = unpack_embedder(bundle) if bundle else load_dgrl(weights).state_dict()
    own = network.state_dict()
    shared = {
        name: tensor for name, tensor in given.items() if name in own and own[name].shape == tensor.shape
    }
    if missing := [name for name in own if name.startswith("embedder.") and name not in shared]:
        raise WeightsError(
            f"{weights}: another embedder than the recipe's ({len(missing)} tensors, e.g. {missing[0]})"
        )
    network.load_state_dict({**own, **shared})
    named = (
        f"bundle {bundle.manifest.name} {bundle.manifest.bundle_id}"
        if bundle
        else f"DGRL checkpoint {weights.name}"
    )
    return Start(
        network,
        f"{named} ({len(shared)} of {len(own)} tensors)",
        lacks_statistics=bundle is not None,
        lacks_classes="classifier.weight" not in shared,
    )


def super_resolver(weights: Path) -> RCAN:
    """The RCAN that makes SR twins: a checkpoint's, or that of a bundle's folder. Raises WeightsError."""
    return unpack_rcan(bundle_at(weights)) if weights.is_dir() else load_rcan(weights)


def rcan_from(config: RCANConfig, seed: int, weights: Path) -> RCAN:
    """An RCAN whose head and body, and the tails that there are, come from another: x3 and x4 start from x2.

    `weights` are ours, or in the published key layout. Raises WeightsError where the body is another.
    """
    torch.manual_seed(seed)
    network = RCAN(config)
    try:
        given = super_resolver(weights)
    except WeightsError:
        given = load_published_rcan(weights)
    own, state = network.state_dict(), given.state_dict()
    shared = {n: t for n, t in state.items() if n in own and own[n].shape == t.shape}
    if missing := [name for name in own if not name.startswith("tails.") and name not in shared]:
        raise WeightsError(
            f"{weights}: another body than the recipe's ({len(missing)} tensors, e.g. {missing[0]}); it has "
            f"groups = {given.config.groups}, blocks = {given.config.blocks}, features = {given.config.features}, "
            f"reduction = {given.config.reduction}"
        )
    network.load_state_dict({**own, **shared})
    return network


def _torchvision_weights() -> tuple[Mapping[str, Tensor], str]:
    try:
        models = importlib.import_module("torchvision.models")
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for CUDA beside a CPU-only torch
        raise WeightsError(
            f"torchvision cannot be imported here ({error}): give ImageNet weights with --imagenet FILE"
        ) from error
    state = models.get_model_weights("resnet50").IMAGENET1K_V1.get_state_dict(progress=False)
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}, "torchvision"
