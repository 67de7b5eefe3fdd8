"""Weights on disk: safetensors with the architecture in the header, never pickle."""

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
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
