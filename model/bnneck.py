"""BNNeck (Luo et al., "Bag of Tricks", CVPRW 2019): the triplet loss sees F, the classifier BN(F)."""

from torch import Tensor, nn


class BNNeck(nn.Module):
    """BatchNorm1d with its bias frozen at zero: (B, D) to (B, D), in float32."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(dimension)
        self.norm.bias.requires_grad_(False)

    def forward(self, feature: Tensor) -> Tensor:
        out: Tensor = self.norm(feature.float())
        return out
