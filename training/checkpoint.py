"""Training state on disk: one safetensors file with weights, optimiser state and step; a crash leaves the last one.

Augmentation and sampling are functions of (seed, step), so a resumed run needs no random state to continue the same
curve.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

STATE_NAME = "state.safetensors"
Networks = Mapping[str, nn.Module]  # "model", and "average" where there is one


class CheckpointError(ValueError):
    """A checkpoint that cannot be resumed; the message names the file and says why."""


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far a run had come."""

    step: int  # steps done
    recipe: dict[str, Any]


def save_state(path: Path, networks: Networks, optimiser: torch.optim.Optimizer, done: Progressed) -> None:
    """Write atomically: to a temporary file, fsync, rename. An error leaves the old file whole."""
    tensors = {
        f"{prefix}.{name}": tensor
        for prefix, network in networks.items()
        for name, tensor in network.state_dict().items()
    }
    for index, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    header = {"step": str(done.step), "recipe": json.dumps(done.recipe)}
    temporary = path.with_name(path.name + ".tmp")
    try:
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, temporary, metadata=header)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise CheckpointError(
            f"{path}: could not be written, the last checkpoint stands ({error})"
        ) from error


def load_state(
    path: Path,
    networks: Networks,
    optimiser: torch.optim.Optimizer,
    recipe: dict[str, Any],
    defaults: dict[str, Any],
) -> int:
    """Fill networks and optimiser in place; the number of steps done. Another recipe is a CheckpointError.

    Fields that the version which wrote the checkpoint did not know count as their `defaults`.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: not a readable checkpoint ({error}); delete it to start anew"
        ) from error
    saved = _laid_over(defaults, json.loads(header["recipe"]))
    if different := sorted(name for name in {*saved, *recipe} if saved.get(name) != recipe.get(name)):
        raise CheckpointError(
            f"{path}: made by another recipe (different: {', '.join(different)}); resume with the recipe, and the "
            "RCAN for the twins, that it was started with, or choose another folder"
        )
    for prefix, network in networks.items():
        network.load_state_dict(_under(f"{prefix}.", tensors))
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _under("optimiser.", tensors).items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = tensor
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    _lay_out_like_parameters(optimiser)
    return int(header["step"])


def _lay_out_like_parameters(optimiser: torch.optim.Optimizer) -> None:
    """Fused kernels walk parameter and state in memory order: both must be channels-last, or neither."""
    for parameter, state in optimiser.state.items():
        for name, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[name] = torch.empty_like(parameter).copy_(value)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _laid_over(defaults: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """`values`, and the defaults of what they lack, also in tables."""
    filled = {
        name: _laid_over(defaults[name], value) if isinstance(value, dict) and name in defaults else value
        for name, value in values.items()
    }
    return defaults | filled
