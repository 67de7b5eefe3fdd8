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
            if self.training:
                pooled: Tensor = GeneralisedMean.apply(clamped, self.power)  # type: ignore[no-untyped-call]
                return pooled
            return clamped.pow(self.power).mean(dim=(2, 3)).pow(1.0 / self.power)


class GeneralisedMean(torch.autograd.Function):
    """y = mean(x^p)^(1/p) of positive maps (B, C, H, W), with its gradient in closed form.

    The gradient of `pow` by itself raises x to a power again and guards against zeros that cannot be here, in a dozen
    passes over the map; this takes five. With t = x^p and m = mean(t): dy/dx = y t / (x m HW), and
    dy/dp = y (mean(t log x) / (p m) - log(m) / p^2).
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, power: Tensor) -> Tensor:
        t = x.pow(power)  # (B, C, H, W)
        m = t.mean(dim=(2, 3))  # (B, C)
        y = m.pow(1.0 / power)
        ctx.save_for_backward(x, t, m, y, power)
        return y

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        x, t, m, y, power = ctx.saved_tensors  # type: ignore[attr-defined]
        by_y = gradients[0] * y  # (B, C)
        by_x = t / x * (by_y / (m * x.shape[2] * x.shape[3])).unsqueeze(2).unsqueeze(3)
        weighted = (t * x.log()).mean(dim=(2, 3))  # (B, C)
        by_power = (by_y * (weighted / (power * m) - m.log() / power.square())).sum()
        return by_x, by_power
