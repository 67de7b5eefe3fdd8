"""Group-aware learning network (paper III-C, Fig. 4; Kim et al., "GroupFace", CVPR 2020, soft assignment)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class GroupUse:
    """How a batch uses the groups: collapse onto one group is the silent failure of GALN."""

    entropy: float  # mean entropy of the group probabilities in nats; log(K) is uniform
    used: int  # groups that are the most probable one for at least one sample


class GALN(nn.Module):
    """F = F_x + sum_k p_k F_k: pooled features (B, C) to (B, D).

    F_x is an instance FC, F_k are K group FCs (one Linear of K*D), p = softmax(FC(ReLU(FC(F_x)))).
    """

    def __init__(self, in_features: int, dimension: int, groups: int, hidden: int) -> None:
        super().__init__()
        self.groups = groups
        self.instance = nn.Linear(in_features, dimension)
        self.group = nn.Linear(in_features, groups * dimension)
        self.assign = nn.Sequential(nn.Linear(dimension, hidden), nn.ReLU(), nn.Linear(hidden, groups))

    def probabilities(self, instance: Tensor) -> Tensor:
        """F_x (B, D) to group probabilities, float32 (B, K)."""
        logits: Tensor = self.assign(instance)
        return logits.float().softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        instance: Tensor = self.instance(x)  # (B, D)
        groups = self.group(x).unflatten(-1, (self.groups, -1))  # (B, K, D)
        p = self.probabilities(instance).to(groups.dtype)  # (B, K)
        return instance + (p.unsqueeze(1) @ groups).squeeze(1)  # (B, D)

    @torch.no_grad()
    def use(self, x: Tensor) -> GroupUse:
        """Entropy and number of used groups for pooled features (B, C)."""
        p = self.probabilities(self.instance(x))
        entropy = -(p * p.clamp(min=1e-12).log()).sum(dim=-1).mean()
        return GroupUse(entropy=float(entropy), used=int(p.argmax(dim=-1).unique().numel()))
