"""Architectures as frozen records, complete with the paper's values and saved beside the weights."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RestormerConfig:
    """One Restormer block (paper III-B, section IV-C: one block, four heads)."""

    dim: int = 64
    heads: int = 4
    expansion: float = 2.66  # hidden width of the GDFN: int(64 * 2.66) = 170

    def __post_init__(self) -> None:
        if self.dim % self.heads:
            raise ValueError(f"dim ({self.dim}) must be a multiple of heads ({self.heads})")


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The DGRL network. The switches are the rows of the paper's Table III; all on is the full method."""

    identities: int = 751  # training identities: the width of each classifier
    height: int = 256
    width: int = 128
    stem_channels: int = 64
    stage_blocks: tuple[int, int, int, int] = (3, 4, 6, 3)  # ResNet-50
    dimension: int = 512  # of the group-aware representation F; without GALN F is the pooled map
    groups: int = 32
    group_hidden: int = 256
    gem_power: float = 3.0
    restormer: bool = True
    restormer_block: RestormerConfig = field(default_factory=RestormerConfig)
    non_local: bool = True
    galn: bool = True
    side_branches: bool = True

    def __post_init__(self) -> None:
        if self.restormer and self.restormer_block.dim != self.stem_channels:
            raise ValueError(
                f"restormer_block.dim ({self.restormer_block.dim}) must be stem_channels ({self.stem_channels})"
            )

    @property
    def trunk_channels(self) -> int:
        """Channels of layer4's output: 2048 for ResNet-50."""
        return self.stem_channels * 32

    @property
    def embedding_dimension(self) -> int:
        """Width of the deployed embedding."""
        return self.dimension if self.galn else self.trunk_channels


@dataclass(frozen=True, slots=True)
class RCANConfig:
    """RCAN (Zhang et al., ECCV 2018). The defaults are the published network.

    `scales` share head and body and have a tail each. `image_skip` adds the bilinearly enlarged input to the
    output, which the published network does not do: a light network then learns only the missing detail.
    """

    scales: tuple[int, ...] = (2,)
    groups: int = 10
    blocks: int = 20
    features: int = 64
    reduction: int = 16
    image_skip: bool = False

    def __post_init__(self) -> None:
        if not self.scales or set(self.scales) - {2, 3, 4}:
            raise ValueError(f"scales must be some of 2, 3 and 4, not {self.scales}")
        if self.features % self.reduction:
            raise ValueError(f"features ({self.features}) must be a multiple of reduction ({self.reduction})")


LIGHT_RCAN = RCANConfig(scales=(2, 3, 4), groups=3, blocks=4, features=32, reduction=8, image_skip=True)
"""A body of 0.3 M weights for all three scales: for small machines, and for training without a GPU."""
