"""A bundle's graphs read back into networks: what the exporter wrote, undone.

The graphs hold every weight under the network's own names, but for what the exporter folds: a BatchNorm behind a
convolution is part of its weight and bias. It comes back as a norm that changes nothing but adds the bias, so that
the network computes the same; `training.settle` gives it statistics again before it is trained.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor

from model.bundle.runtime import Bundle, BundleError
from model.config import RCANConfig
from model.rcan import RCAN
from model.weights import WeightsError

_STORED = re.compile(r"(?P<name>.+)\.(float16|float32)\.(?P<part>\d+)")  # what storage.py calls its pieces
_EPSILON = 1e-5  # of BatchNorm2d


def bundle_at(path: Path) -> Bundle:
    """The bundle in a folder, verified. Raises WeightsError."""
    try:
        return Bundle.load(path)
    except BundleError as error:
        raise WeightsError(str(error)) from error


def unpack_embedder(bundle: Bundle) -> dict[str, Tensor]:
    """The embedder's state under the names that it has in DGRL (`embedder.trunk.layer1...`)."""
    files = bundle.manifest.encoders
    if files.trunk is None:
        raise WeightsError(
            f"{bundle.path}: written before stems and trunk were graphs of their own; export it again"
        )
    state: dict[str, Tensor] = {}
    for branch, file in (("hr", files.hr), ("sr", files.sr)):
        tensors = _tensors(bundle.path / file)
        state |= {
            name.replace("stem.", f"embedder.stem_{branch}.", 1): tensor
            for name, tensor in tensors.items()
            if name.startswith("stem.")
        }
    trunk = _tensors(bundle.path / files.trunk)
    state |= {name: tensor for name, tensor in trunk.items() if name.startswith("embedder.")}
    return _unfolded(state)


def unpack_rcan(bundle: Bundle) -> RCAN:
    """The super-resolver of a bundle's scales. Raises WeightsError where each scale has a body of its own."""
    scales = tuple(resolver.scale for resolver in bundle.manifest.super_resolution)
    if not scales:
        raise WeightsError(f"{bundle.path}: the bundle has no super-resolver")
    state: dict[str, Tensor] = {}
    for resolver in bundle.manifest.super_resolution:
        for name, tensor in _tensors(bundle.path / resolver.file).items():
            if not name.startswith("rcan."):
                continue
            key = name.removeprefix("rcan.")
            if key in state and not torch.equal(state[key], tensor):
                raise WeightsError(
                    f"{bundle.path}: each scale has a network of its own; give the checkpoints that it was made of"
                )
            state[key] = tensor
    graph = onnx.load(bundle.path / bundle.manifest.super_resolution[0].file, load_external_data=False).graph
    network = RCAN(_rcan_config(state, scales, any(node.op_type == "Resize" for node in graph.node)))
    try:
        network.load_state_dict({name: state[name] for name in network.state_dict()})
    except (KeyError, RuntimeError) as error:
        raise WeightsError(
            f"{bundle.path}: its super-resolver is not an RCAN of this version ({error})"
        ) from error
    return network


def _rcan_config(state: Mapping[str, Tensor], scales: tuple[int, ...], image_skip: bool) -> RCANConfig:
    features = state["head.0.weight"].shape[0]
    squeezed = state["body.0.body.0.body.3.conv_du.0.weight"].shape[0]
    return RCANConfig(
        scales=scales,
        groups=_count(state, r"body\.(\d+)\.body\.0\.body\.0\.weight"),
        blocks=_count(state, r"body\.0\.body\.(\d+)\.body\.0\.weight"),
        features=features,
        reduction=features // squeezed,
        image_skip=image_skip,
    )


def _count(names: Iterable[str], pattern: str) -> int:
    return sum(re.fullmatch(pattern, name) is not None for name in names)


def _unfolded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """With a neutral norm behind each convolution that one was folded into."""
    whole: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.endswith(".weight_bias"):
            whole |= _neutral(_norm_behind(name.removesuffix(".weight_bias")), tensor)
        else:
            whole[name] = tensor
            if name.endswith(".running_var"):  # a norm that was not folded
                whole[name.replace(".running_var", ".num_batches_tracked")] = torch.tensor(0)
            if name.endswith(".out.bias"):  # of a non-local block: it took the norm's bias in
                whole |= _neutral(name.replace(".out.bias", ".norm"), torch.zeros_like(tensor))
    return whole


def _norm_behind(convolution: str) -> str:
    """`...conv2` to `...bn2`, `...downsample.0` to `...downsample.1`."""
    head, last = convolution.rsplit(".", 1)
    return f"{head}.1" if last == "0" else f"{head}.{last.replace('conv', 'bn')}"


def _neutral(norm: str, bias: Tensor) -> dict[str, Tensor]:
    """A BatchNorm2d that in evaluation only adds `bias`."""
    return {
        f"{norm}.weight": torch.full_like(bias, (1 + _EPSILON) ** 0.5),
        f"{norm}.bias": bias,
        f"{norm}.running_mean": torch.zeros_like(bias),
        f"{norm}.running_var": torch.ones_like(bias),
        f"{norm}.num_batches_tracked": torch.tensor(0),
    }


def _tensors(path: Path) -> dict[str, Tensor]:
    """A graph's weights as float32, put together where they are stored in parts."""
    parts: dict[str, list[tuple[int, Tensor]]] = {}
    for stored in onnx.load(path).graph.initializer:
        if stored.data_type not in (TensorProto.FLOAT, TensorProto.FLOAT16):
            continue
        found = _STORED.fullmatch(stored.name)
        name, part = (found["name"], int(found["part"])) if found else (stored.name, 0)
        values = numpy_helper.to_array(stored).astype(np.float32)
        parts.setdefault(name, []).append((part, torch.from_numpy(values)))
    return {
        name: torch.cat([tensor for _, tensor in sorted(pieces, key=lambda piece: piece[0])])
        if len(pieces) > 1
        else pieces[0][1]
        for name, pieces in parts.items()
    }
