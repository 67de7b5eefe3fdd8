"""Learning rates as functions of the step."""

import math

from training.config import OptimiserConfig


def cosine(step: int, steps: int, peak: float) -> float:
    """From `peak` down to zero along half a cosine."""
    return 0.5 * peak * (1 + math.cos(math.pi * step / steps))


def halving(step: int, steps: int, peak: float) -> float:
    """RCAN's published schedule: halved after each fifth of the run."""
    return float(peak * 0.5 ** (5 * step // steps))


def rate(config: OptimiserConfig, step: int, steps: int, steps_per_epoch: int) -> float:
    """DGRL's: linear warm-up, then x0.1 at each milestone, or a cosine over the rest."""
    warmup = min(round(config.warmup_epochs * steps_per_epoch), steps - 1)
    if step < warmup:
        return config.warmup_rate + (config.rate - config.warmup_rate) * step / warmup
    if config.schedule == "cosine":
        return cosine(step - warmup, steps - warmup, config.rate)
    passed = sum(step >= milestone * steps_per_epoch for milestone in config.milestones)
    return float(config.rate * 0.1**passed)
