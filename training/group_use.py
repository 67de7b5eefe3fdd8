"""How GALN uses its groups: collapse onto one group is its silent failure."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class GroupUse:
    """Of one batch and branch."""

    entropy: float  # mean entropy of the group probabilities in nats; log(K) is uniform
    used: int  # groups that are the most probable one for at least one image


@torch.no_grad()
def group_use(probabilities: Tensor) -> GroupUse:
    """From the group probabilities (B, K)."""
    entropy = torch.special.entr(probabilities).sum(dim=1).mean()
    return GroupUse(entropy=float(entropy), used=len(set(probabilities.argmax(dim=1).tolist())))
