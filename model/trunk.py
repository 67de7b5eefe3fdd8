"""The shared feature embedding module: layer1 to layer4 of ResNet-50 with non-local blocks (paper III-C, Fig. 2).

layer4 keeps its resolution (stride 1): a 256x128 crop ends in a 16x8 map.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from model.config import ModelConfig
from model.non_local import after_last
from model.resnet import make_stage

NON_LOCAL_LAYER2 = 2  # behind the last two blocks of layer2
NON_LOCAL_LAYER3 = 3  # and the last three of layer3


@dataclass(frozen=True, slots=True)
class TrunkMaps:
    """Where the branches fork: (B, 512, H/8, W/8), (B, 1024, H/16, W/16), (B, 2048, H/16, W/16)."""

    layer2: Tensor
    layer3: Tensor
    layer4: Tensor


class Trunk(nn.Module):
    """Shallow maps (B, 64, H/4, W/4) to the maps of the three branches."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        c, blocks = config.stem_channels, config.stage_blocks
        self.layer1 = make_stage(c, c, blocks[0], stride=1)
        self.layer2 = make_stage(4 * c, 2 * c, blocks[1], stride=2)
        self.layer3 = make_stage(8 * c, 4 * c, blocks[2], stride=2)
        self.layer4 = make_stage(16 * c, 8 * c, blocks[3], stride=1)
        if config.non_local:
            self.layer2 = after_last(self.layer2, 8 * c, NON_LOCAL_LAYER2)
            self.layer3 = after_last(self.layer3, 16 * c, NON_LOCAL_LAYER3)

    def forward(self, x: Tensor) -> TrunkMaps:
        layer2 = self.layer2(self.layer1(x))
        layer3 = self.layer3(layer2)
        return TrunkMaps(layer2, layer3, self.layer4(layer3))
