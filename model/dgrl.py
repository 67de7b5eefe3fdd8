"""The complete DGRL training network (paper Fig. 2): the embedder, and what only training needs."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.config import ModelConfig
from model.embedder import Embedder
from model.head import Classifier, Head
from model.side_branch import side_from_layer2, side_from_layer3


@dataclass(frozen=True, slots=True)
class BranchOutput:
    """One branch on the spliced batch of 2B images."""

    feature: Tensor  # F before the BNNeck, (2B, D)
    logits: Tensor  # (2B, N)
    groups: Tensor | None  # group probabilities (2B, K); None without GALN


@dataclass(frozen=True, slots=True)
class DGRLOutput:
    """What the losses see: the shallow maps of the pairs (B, 64, H/4, W/4), and the branches, main one first."""

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
    """Pairs of crops to three branches. Only `embedder` is exported; without the sides it gives the same."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedder = Embedder(config)
        self.classifier = Classifier(config)
        self.side2 = SideBranch(side_from_layer2(config), config) if config.side_branches else None
        self.side3 = SideBranch(side_from_layer3(config), config) if config.side_branches else None

    def forward(self, hr: Tensor, sr: Tensor) -> DGRLOutput:
        """Normalised pairs (B, 3, H, W) of the same crops; the spliced batch is HR first, then SR."""
        shallow_hr = self.embedder.stem_hr(hr)
        shallow_sr = self.embedder.stem_sr(sr)
        maps = self.embedder.trunk(torch.cat([shallow_hr, shallow_sr]))  # (2B, ...)
        branches = [_branch(self.embedder.head, self.classifier, maps.layer4)]
        for side, fork in ((self.side2, maps.layer2), (self.side3, maps.layer3)):
            if side is not None:
                branches.append(_branch(side.head, side.classifier, side.blocks(fork)))
        return DGRLOutput(shallow_hr, shallow_sr, tuple(branches))


def _branch(head: Head, classifier: nn.Module, features: Tensor) -> BranchOutput:
    feature, groups = head(features)
    logits: Tensor = classifier(head.neck(feature))
    return BranchOutput(feature, logits.float(), groups)
