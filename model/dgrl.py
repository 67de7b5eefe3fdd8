"""The complete DGRL training network (paper Fig. 2): the embedder, and what only training needs."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.config import ModelConfig
from model.embedder import Embedder
from model.galn import GroupUse
from model.head import Classifier, Head
from model.side_branch import side_from_layer2, side_from_layer3


@dataclass(frozen=True, slots=True)
class BranchOutput:
    """One branch on the spliced batch: F before the BNNeck (2B, D), and the classifier's logits (2B, N)."""

    feature: Tensor
    logits: Tensor
    group_use: GroupUse | None


@dataclass(frozen=True, slots=True)
class DGRLOutput:
    """What the losses see: the paired shallow maps (B, 64, H/4, W/4), and the branches, the main one first."""

    shallow_hr: Tensor
    shallow_sr: Tensor
    branches: tuple[BranchOutput, ...]


class SideBranch(nn.Module):
    """Own blocks, head and classifier; dropped at deployment."""

    def __init__(self, blocks: nn.Sequential, config: ModelConfig) -> None:
        super().__init__()
        self.blocks = blocks
        self.head = Head(config)
        self.classifier = Classifier(config)


class DGRL(nn.Module):
    """Paired crops to three branches. `embedder` alone is exported; removing the sides changes nothing in it."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedder = Embedder(config)
        self.classifier = Classifier(config)
        self.side2 = SideBranch(side_from_layer2(config), config) if config.side_branches else None
        self.side3 = SideBranch(side_from_layer3(config), config) if config.side_branches else None

    def forward(self, hr: Tensor, sr: Tensor, *, measure_groups: bool = False) -> DGRLOutput:
        """Normalised pairs (B, 3, H, W) of the same crops. The spliced batch is HR first, then SR: (2B, ...)."""
        shallow_hr = self.embedder.stem_hr(hr)
        shallow_sr = self.embedder.stem_sr(sr)
        maps = self.embedder.trunk(torch.cat([shallow_hr, shallow_sr]))  # (2B, ...)
        branches = [_branch(self.embedder.head, self.classifier, maps.layer4, measure_groups)]
        for side, fork in ((self.side2, maps.layer2), (self.side3, maps.layer3)):
            if side is not None:
                branches.append(_branch(side.head, side.classifier, side.blocks(fork), measure_groups))
        return DGRLOutput(shallow_hr, shallow_sr, tuple(branches))


def _branch(head: Head, classifier: nn.Module, features: Tensor, measure_groups: bool) -> BranchOutput:
    feature = head(features)
    logits = classifier(head.neck(feature))
    return BranchOutput(feature, logits.float(), head.group_use(features) if measure_groups else None)
