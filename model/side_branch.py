"""Side branches of the multi-layered group-aware representation (paper III-C; Li and Chen, "DHM", CVPR 2020).

One forks at layer2's output, one at layer3's; each has blocks of its own and ends at the main branch's resolution.
"""

from torch import nn

from model.config import ModelConfig
from model.resnet import make_stage

LAYER3_BLOCKS = 3  # of layer3's kind, in the branch that forks at layer2
LAYER4_BLOCKS = 2  # of layer4's kind, in both


def side_from_layer2(config: ModelConfig) -> nn.Sequential:
    """(B, 512, H/8, W/8) to (B, 2048, H/16, W/16)."""
    c = config.stem_channels
    return nn.Sequential(
        *make_stage(8 * c, 4 * c, LAYER3_BLOCKS, stride=2),
        *make_stage(16 * c, 8 * c, LAYER4_BLOCKS, stride=1),
    )


def side_from_layer3(config: ModelConfig) -> nn.Sequential:
    """(B, 1024, H/16, W/16) to (B, 2048, H/16, W/16)."""
    c = config.stem_channels
    return make_stage(16 * c, 8 * c, LAYER4_BLOCKS, stride=1)
