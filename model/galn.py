"""Group-aware learning network (paper III-C, Fig. 4; Kim et al., "GroupFace", CVPR 2020, soft assignment)."""

from torch import Tensor, nn


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

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """F (B, D), and the group probabilities p, float32 (B, K), by which collapse can be seen."""
        instance: Tensor = self.instance(x)  # (B, D)
        groups = self.group(x).unflatten(-1, (self.groups, -1))  # (B, K, D)
        p = self.assign(instance).float().softmax(dim=-1)  # (B, K)
        mixed = (p.to(groups.dtype).unsqueeze(1) @ groups).squeeze(1)  # (B, D)
        return instance + mixed, p
