"""The end of every branch: GeM, GALN, BNNeck (paper Fig. 2 and 4)."""

from torch import Tensor, nn

from model.bnneck import BNNeck
from model.config import ModelConfig
from model.galn import GALN
from model.gem import GeM


class Head(nn.Module):
    """A branch's map (B, 2048, H, W) to the representation F, float32 (B, D). `neck` follows it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.pool = GeM(config.gem_power)
        self.galn = (
            GALN(config.trunk_channels, config.dimension, config.groups, config.group_hidden)
            if config.galn
            else None
        )
        self.neck = BNNeck(config.embedding_dimension)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """F, and the group probabilities (B, K) (None without GALN)."""
        pooled: Tensor = self.pool(x)
        if self.galn is None:
            return pooled, None
        feature, probabilities = self.galn(pooled)
        return feature.float(), probabilities


class Classifier(nn.Linear):
    """Bias-free identity classifier on the BNNeck's output: (B, D) to logits (B, identities)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config.embedding_dimension, config.identities, bias=False)
        nn.init.normal_(self.weight, std=0.001)
