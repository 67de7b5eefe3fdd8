"""Generalised-mean pooling (Radenović et al., TPAMI 2018; paper III-C)."""

import torch
from torch import Tensor, nn


class GeM(nn.Module):
    """(mean over positions of x^p)^(1/p) with a learnable p: (B, C, H, W) to float32 (B, C).

    Always in float32: x^3 overflows float16 above 40.
    """

    def __init__(self, power: float = 3.0, minimum: float = 1e-6) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.tensor(float(power)))
        self.minimum = minimum

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            clamped = x.float().clamp(min=self.minimum)
            return clamped.pow(self.power).mean(dim=(2, 3)).pow(1.0 / self.power)
