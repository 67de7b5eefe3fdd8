"""Restormer block: transposed attention and a gated feed-forward network, both depth-wise convolutional.

Paper III-B, Eq. 1-4 and Fig. 3; Zamir et al., "Restormer", CVPR 2022. As in Restormer's own code, and unlike
Eq. 2 as printed, q and k are L2-normalised over the pixels and the logits are multiplied by the temperature.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.config import RestormerConfig


class LayerNorm2d(nn.Module):
    """LayerNorm over the channels of a (B, C, H, W) map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x.permute(0, 2, 3, 1))  # (B, H, W, C)
        return y.permute(0, 3, 1, 2)  # (B, C, H, W)


class MDTA(nn.Module):
    """Multi-Dconv Head Transposed Attention (Eq. 1-2): attention between channels, C/heads x C/heads a head."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Conv2d(dim, 3 * dim, 1, bias=False)
        self.qkv_depthwise = nn.Conv2d(3 * dim, 3 * dim, 3, padding=1, groups=3 * dim, bias=False)
        self.project = nn.Conv2d(dim, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        qkv = self.qkv_depthwise(self.qkv(x))  # (B, 3C, H, W)
        q, k, v = qkv.reshape(b, 3, self.heads, c // self.heads, h * w).unbind(1)  # (B, heads, C/heads, HW)
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        attention = (q @ k.transpose(-2, -1) * self.temperature).softmax(
            dim=-1
        )  # (B, heads, C/heads, C/heads)
        y = (attention.to(v.dtype) @ v).reshape(b, c, h, w)
        out: Tensor = self.project(y)
        return out


class GDFN(nn.Module):
    """Gated-Dconv Feed-Forward Network (Eq. 3): GELU of one path gates the other."""

    def __init__(self, dim: int, expansion: float) -> None:
        super().__init__()
        hidden = int(dim * expansion)
        self.expand = nn.Conv2d(dim, 2 * hidden, 1, bias=False)
        self.depthwise = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.project = nn.Conv2d(hidden, dim, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.depthwise(self.expand(x)).chunk(2, dim=1)  # (B, hidden, H, W) each
        out: Tensor = self.project(F.gelu(gate) * value)
        return out


class RestormerBlock(nn.Module):
    """X = X + MDTA(LN(X)), then X = X + GDFN(LN(X)) (Eq. 4); (B, C, H, W) to the same shape."""

    def __init__(self, config: RestormerConfig) -> None:
        super().__init__()
        self.attention_norm = LayerNorm2d(config.dim)
        self.attention = MDTA(config.dim, config.heads)
        self.feed_forward_norm = LayerNorm2d(config.dim)
        self.feed_forward = GDFN(config.dim, config.expansion)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        out: Tensor = x + self.feed_forward(self.feed_forward_norm(x))
        return out
