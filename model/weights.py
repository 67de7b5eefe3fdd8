"""Weights on disk: safetensors with the architecture in the header, never pickle."""

import dataclasses
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from model.config import ModelConfig, RCANConfig, RestormerConfig
from model.dgrl import DGRL
from model.rcan import RCAN

ConfigT = TypeVar("ConfigT", ModelConfig, RCANConfig)


class WeightsError(ValueError):
    """A weights file that cannot be used; the message names the file and says why."""


def save_weights(path: Path, module: DGRL | RCAN) -> None:
    """Write weights and architecture atomically: a crash leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    header = {"kind": type(module).__name__, "config": json.dumps(dataclasses.asdict(module.config))}
    save_file(tensors, temporary, metadata=header)
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def load_dgrl(path: Path) -> DGRL:
    """A DGRL network from `save_weights`' file. Raises WeightsError."""
    config, tensors = _read(path, "DGRL")
    if isinstance(block := config.get("restormer_block"), dict):
        config["restormer_block"] = RestormerConfig(**block)
    return _fill(DGRL(_config(ModelConfig, config, path)), tensors, path)


def load_rcan(path: Path) -> RCAN:
    """An RCAN from `save_weights`' file. Raises WeightsError."""
    config, tensors = _read(path, "RCAN")
    return _fill(RCAN(_config(RCANConfig, config, path)), tensors, path)


def from_published_rcan(state: Mapping[str, Tensor], config: RCANConfig) -> RCAN:
    """An RCAN of one scale from a checkpoint in the published code's key layout (its mean shifts are dropped)."""
    if len(config.scales) != 1:
        raise WeightsError(f"a published checkpoint has one scale, not {config.scales}")
    renamed = {
        f"tails.{config.scales[0]}.{name.removeprefix('tail.')}" if name.startswith("tail.") else name: tensor
        for name, tensor in state.items()
        if not name.startswith(("sub_mean.", "add_mean."))
    }
    return _fill(RCAN(config), renamed, Path("published checkpoint"))


def load_published_rcan(path: Path) -> RCAN:
    """An RCAN from a file in the published code's key layout, .pt (read without pickled code) or .safetensors.

    Its scale and size are read off the tensors. Raises WeightsError.
    """
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        config = _published_config(state)
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such weights file") from None
    except (OSError, SafetensorError, RuntimeError, UnpicklingError) as error:
        raise WeightsError(f"{path}: not a readable checkpoint ({error})") from error
    except (KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path}: not in the published RCAN's key layout (no {error})") from error
    return from_published_rcan(state, config)


def _published_config(state: Mapping[str, Tensor]) -> RCANConfig:
    features = state["head.0.weight"].shape[0]
    groups = {name.split(".")[1] for name in state if re.match(r"body\.\d+\.body\.", name)}
    blocks = {name.split(".")[3] for name in state if re.match(r"body\.0\.body\.\d+\.body\.", name)}
    squeezed = state["body.0.body.0.body.3.conv_du.0.weight"].shape[0]
    twice = "tail.0.2.weight" in state  # x4 is x2 and x2
    scale = 4 if twice else math.isqrt(state["tail.0.0.weight"].shape[0] // features)
    return RCANConfig((scale,), len(groups), len(blocks), features, features // squeezed)


def _read(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such weights file") from None
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error})") from error
    if header.get("kind") != kind:
        raise WeightsError(f"{path}: holds {header.get('kind', 'unknown')} weights, {kind} was asked for")
    return json.loads(header["config"]), tensors


def _config(kind: Callable[..., ConfigT], values: dict[str, Any], path: Path) -> ConfigT:
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    try:
        return kind(**plain)
    except TypeError as error:
        raise WeightsError(f"{path}: its architecture is not one of this version ({error})") from error


ModuleT = TypeVar("ModuleT", bound=nn.Module)


def _fill(module: ModuleT, tensors: Mapping[str, Tensor], path: Path) -> ModuleT:
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(f"{path}: weights do not fit their architecture ({error})") from error
    return module
