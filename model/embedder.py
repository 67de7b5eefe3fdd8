"""What is deployed: two stems, the trunk and the main branch's head.

Paper IV-B: "we only use the main branch features for matching and evaluation".
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from model.config import ModelConfig
from model.head import Head
from model.stem import Stem
from model.trunk import Trunk

Branch = Literal["hr", "sr"]


class Embedder(nn.Module):
    """Normalised crops (B, 3, H, W) to unit embeddings, float32 (B, D), compared by inner product.

    Gallery images take the HR stem, super-resolved probes the SR stem; all else is shared.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.stem_hr = Stem(config)
        self.stem_sr = Stem(config)
        self.trunk = Trunk(config)
        self.head = Head(config)

    def stem(self, branch: Branch) -> Stem:
        """The stem of a branch."""
        return self.stem_hr if branch == "hr" else self.stem_sr

    def forward(self, x: Tensor, branch: Branch) -> Tensor:
        return self.describe(self.stem(branch)(x))

    def describe(self, maps: Tensor) -> Tensor:
        """Either stem's shallow maps (B, C, H/4, W/4) to unit embeddings, float32 (B, D)."""
        feature, _ = self.head(self.trunk(maps).layer4)
        return F.normalize(self.head.neck(feature), dim=-1)
