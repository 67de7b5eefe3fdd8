"""Flip, pad and crop, erase: on the device, one draw per pair, so that HR and SR stay aligned (Eq. 5)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from training.config import AugmentConfig

_REFERENCE_HEIGHT = 256  # the padding is given for this height


def augment_pairs(
    hr: Tensor, sr: Tensor, config: AugmentConfig, random: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Normalised pairs (B, 3, H, W), each pair changed the same way. Padding is zero: ImageNet's mean colour."""
    b, _, h, w = hr.shape
    padding = round(config.padding * h / _REFERENCE_HEIGHT)
    flip = torch.rand(b, generator=random) < config.flip
    top = torch.randint(0, 2 * padding + 1, (b,), generator=random)
    left = torch.randint(0, 2 * padding + 1, (b,), generator=random)
    rows = (torch.arange(h).unsqueeze(0) + top.unsqueeze(1)).to(hr.device)  # (B, H)
    columns = torch.arange(w).expand(b, w)
    columns = torch.where(flip.unsqueeze(1), columns.flip(1), columns)
    columns = (columns + left.unsqueeze(1)).to(hr.device)  # (B, W)
    erase = _erased(b, h, w, config.erasing, random).to(hr.device)  # (B, 1, H, W)
    batch = torch.arange(b, device=hr.device).reshape(b, 1, 1)

    def apply(x: Tensor) -> Tensor:
        x = F.pad(x, (padding, padding, padding, padding)).permute(0, 2, 3, 1)  # (B, H+2p, W+2p, 3)
        x = x[batch, rows.unsqueeze(2), columns.unsqueeze(1)]  # (B, H, W, 3)
        return x.permute(0, 3, 1, 2).masked_fill(erase, 0.0)

    return apply(hr), apply(sr)


def _erased(b: int, h: int, w: int, probability: float, random: torch.Generator) -> Tensor:
    """Random erasing (Zhong et al., AAAI 2020): a box of 2% to 40% of the area, aspect 0.3 to 3.3."""
    chosen = torch.rand(b, generator=random) < probability
    area = torch.empty(b).uniform_(0.02, 0.4, generator=random) * h * w
    aspect = torch.exp(torch.empty(b).uniform_(-1.2, 1.2, generator=random))
    height = (area * aspect).sqrt().round().clamp(1, h)
    width = (area / aspect).sqrt().round().clamp(1, w)
    top = (torch.rand(b, generator=random) * (h - height + 1)).floor()
    left = (torch.rand(b, generator=random) * (w - width + 1)).floor()
    y, x = torch.arange(h).reshape(1, h), torch.arange(w).reshape(1, w)
    rows = (y >= top.unsqueeze(1)) & (y < (top + height).unsqueeze(1))  # (B, H)
    columns = (x >= left.unsqueeze(1)) & (x < (left + width).unsqueeze(1))  # (B, W)
    return (rows.unsqueeze(2) & columns.unsqueeze(1) & chosen.reshape(b, 1, 1)).unsqueeze(1)
