"""Non-local attention (Wang et al., CVPR 2018) in AGW's placement (Ye et al., TPAMI 2021; paper Table III).

Dot product over the N positions divided by N, no softmax. The output BatchNorm starts at zero weight and
bias, so that a pretrained trunk is unchanged at the first step.
"""

from torch import Tensor, nn


class NonLocal(nn.Module):
    """x + BN(W(y)), y = (theta phi^T / N) g, on a (B, C, H, W) map with C//2 inner channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inner = channels // 2
        self.theta = nn.Conv2d(channels, inner, 1)
        self.phi = nn.Conv2d(channels, inner, 1)
        self.g = nn.Conv2d(channels, inner, 1)
        self.out = nn.Conv2d(inner, channels, 1)
        self.norm = nn.BatchNorm2d(channels)
        nn.init.zeros_(self.norm.weight)
        nn.init.zeros_(self.norm.bias)

    def forward(self, x: Tensor) -> Tensor:
        b, _, h, w = x.shape
        theta = self.theta(x).flatten(2).transpose(1, 2)  # (B, N, C/2)
        phi = self.phi(x).flatten(2)  # (B, C/2, N)
        g = self.g(x).flatten(2).transpose(1, 2)  # (B, N, C/2)
        y = (theta @ phi / (h * w)) @ g  # (B, N, C/2)
        y = y.transpose(1, 2).reshape(b, -1, h, w)  # (B, C/2, H, W)
        out: Tensor = x + self.norm(self.out(y))
        return out


def after_last(stage: nn.Sequential, channels: int, count: int) -> nn.Sequential:
    """`stage` with a non-local block behind each of its last `count` blocks."""
    blocks: list[nn.Module] = []
    for position, block in enumerate(stage):
        behind = position >= len(stage) - count
        blocks += [block, NonLocal(channels)] if behind else [block]
    return nn.Sequential(*blocks)
