"""The optimiser of DGRL: the paper's SGD, or AdamW for schedules of a few epochs."""

import torch
from torch import nn

from training.config import OptimiserConfig


def make_optimiser(config: OptimiserConfig, network: nn.Module) -> torch.optim.Optimizer:
    """All trainable parameters with one rate; the fused kernels update each tensor in one pass."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    if config.kind == "adamw":
        return torch.optim.AdamW(
            parameters,
            config.rate,
            betas=(config.momentum, 0.999),
            weight_decay=config.weight_decay,
            fused=True,
        )
    return torch.optim.SGD(
        parameters,
        config.rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.momentum > 0,
        fused=True,
    )


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimiser.param_groups:
        group["lr"] = rate
