"""RCAN, the super-resolver in front of the SR stem (Zhang et al., ECCV 2018; paper III-B.1).

Works on RGB in 0..255 with the DIV2K mean as a fixed buffer. Head, residual groups and tail keep the layer order
of the published code, so that its checkpoints map one to one (`model.weights.from_published_rcan`). Several scales
may share head and body and then have a tail each.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.config import RCANConfig

DIV2K_MEAN = (0.4488, 0.4371, 0.4040)


def _conv3(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1)


class ChannelAttention(nn.Module):
    """Global average, squeeze, excite: (B, C, H, W) scaled per channel."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.conv_du = nn.Sequential(
            nn.Conv2d(channels, channels // reduction, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // reduction, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x * self.conv_du(x.mean(dim=(2, 3), keepdim=True))
        return out


class Residual(nn.Module):
    """x + body(x): the residual channel-attention blocks (RCAB) and the residual groups alike."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.body(x)
        return out


def _attention_block(c: RCANConfig) -> Residual:
    f = c.features
    return Residual(_conv3(f, f), nn.ReLU(inplace=True), _conv3(f, f), ChannelAttention(f, c.reduction))


def _group(c: RCANConfig) -> Residual:
    return Residual(*(_attention_block(c) for _ in range(c.blocks)), _conv3(c.features, c.features))


def _tail(features: int, scale: int) -> nn.Sequential:
    steps = (2, 2) if scale == 4 else (scale,)
    upsampler = [layer for s in steps for layer in (_conv3(features, features * s * s), nn.PixelShuffle(s))]
    return nn.Sequential(nn.Sequential(*upsampler), _conv3(features, 3))


class RCAN(nn.Module):
    """float RGB 0..255 (B, 3, h, w) to (B, 3, scale*h, scale*w); not clamped (see `to_pixels`)."""

    mean: Tensor

    def __init__(self, config: RCANConfig) -> None:
        super().__init__()
        self.config = config
        self.head = nn.Sequential(_conv3(3, config.features))
        body = [_group(config) for _ in range(config.groups)]
        self.body = nn.Sequential(*body, _conv3(config.features, config.features))
        self.tails = nn.ModuleDict({str(scale): _tail(config.features, scale) for scale in config.scales})
        mean = torch.tensor(DIV2K_MEAN).reshape(1, 3, 1, 1) * 255
        self.register_buffer("mean", mean, persistent=False)

    def forward(self, x: Tensor, scale: int) -> Tensor:
        if scale not in self.config.scales:
            raise ValueError(f"this RCAN has the scales {self.config.scales}, not {scale}")
        features = self.head(x - self.mean)
        features = features + self.body(features)
        y: Tensor = self.tails[str(scale)](features)
        if self.config.image_skip:
            return y + F.interpolate(x, scale_factor=float(scale), mode="bilinear", align_corners=False)
        return y + self.mean


def to_pixels(y: Tensor) -> Tensor:
    """Clamp and round to uint8: what the embedder sees, in training and in service alike."""
    return y.float().clamp(0, 255).round().to(torch.uint8)
