"""The part of the network that HR and SR crops do not share (paper III-B.2, Fig. 2).

ResNet-50's conv1-bn1-relu-maxpool, then a Restormer block embedded in a residual structure: f = x + Block(x).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from model.config import ModelConfig
from model.restormer import RestormerBlock


class Stem(nn.Module):
    """Normalised crops (B, 3, H, W) to the shallow map f of Eq. 5, (B, 64, H/4, W/4)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, config.stem_channels, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(config.stem_channels)
        self.restormer = RestormerBlock(config.restormer_block) if config.restormer else None

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1)
        return x if self.restormer is None else x + self.restormer(x)
