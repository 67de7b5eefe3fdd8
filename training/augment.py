"""Flip, pad and crop, erase: on the device, one draw per pair, so that HR and SR stay aligned (Eq. 5)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from training.config import AugmentConfig
from training.device import Normalise, to_device

_REFERENCE_HEIGHT = 256  # the padding is given for this height


@dataclass(frozen=True, slots=True)
class Draws:
    """What happens to each pair of a batch: int64 (B, 7) of flip, top, left, erased rows and columns (from, to)."""

    numbers: Tensor
    padding: int

    def of(self, rows: slice) -> "Draws":
        """Those of some pairs."""
        return Draws(self.numbers[rows], self.padding)


def draw(count: int, size: tuple[int, int], config: AugmentConfig, random: torch.Generator) -> Draws:
    """Draws for `count` pairs of `size` (height, width), on the CPU."""
    h, w = size
    padding = round(config.padding * h / _REFERENCE_HEIGHT)
    flip = torch.rand(count, generator=random) < config.flip
    top, left = (torch.randint(0, 2 * padding + 1, (count,), generator=random) for _ in range(2))
    erased = _boxes(count, h, w, config.erasing, random)
    return Draws(torch.stack([flip.long(), top, left, *erased], dim=1), padding)


def augment_pairs(hr: Tensor, sr: Tensor, draws: Draws, normalise: Normalise) -> tuple[Tensor, Tensor]:
    """Pixels uint8 (B, H, W, 3) to normalised (B, 3, H, W), channels last, each pair changed the same way.

    What lies outside or is erased is zero: ImageNet's mean colour.
    """
    b, h, w, _ = hr.shape
    flip, top, left, erase_top, erase_bottom, erase_left, erase_right = (
        column.unsqueeze(1) for column in to_device(draws.numbers, hr.device).unbind(1)
    )  # (B, 1) each
    y, x = torch.arange(h, device=hr.device), torch.arange(w, device=hr.device)
    rows = y + top - draws.padding  # (B, H): where in the source a row comes from
    columns = torch.where(flip > 0, w - 1 - x, x) + left - draws.padding  # (B, W)
    inside = _between(rows, 0, h).unsqueeze(2) & _between(columns, 0, w).unsqueeze(1)  # (B, H, W)
    erased = _between(y, erase_top, erase_bottom).unsqueeze(2) & _between(
        x, erase_left, erase_right
    ).unsqueeze(1)
    blank = (erased | ~inside).unsqueeze(1)  # (B, 1, H, W)
    image = torch.arange(b, device=hr.device).reshape(b, 1, 1)
    rows, columns = rows.clamp(0, h - 1).unsqueeze(2), columns.clamp(0, w - 1).unsqueeze(1)
    source = ((image * h + rows) * w + columns).flatten()  # (B*H*W,): the pixel that each pixel comes from

    def apply(pixels: Tensor) -> Tensor:
        moved = pixels.reshape(-1, 3).index_select(0, source).reshape(b, h, w, 3)  # still bytes
        x = normalise(moved.permute(0, 3, 1, 2).float())
        return torch.where(blank, 0.0, x)  # unlike masked_fill it keeps the layout

    return apply(hr), apply(sr)


def _boxes(b: int, h: int, w: int, probability: float, random: torch.Generator) -> tuple[Tensor, ...]:
    """Random erasing (Zhong et al., AAAI 2020): boxes of 2% to 40% of the area, aspect 0.3 to 3.3; or empty ones."""
    chosen = torch.rand(b, generator=random) < probability
    area = torch.empty(b).uniform_(0.02, 0.4, generator=random) * h * w
    aspect = torch.exp(torch.empty(b).uniform_(-1.2, 1.2, generator=random))
    height = (area * aspect).sqrt().round().clamp(1, h)
    width = (area / aspect).sqrt().round().clamp(1, w)
    top = (torch.rand(b, generator=random) * (h - height + 1)).floor()
    left = (torch.rand(b, generator=random) * (w - width + 1)).floor()
    return tuple((side * chosen).long() for side in (top, top + height, left, left + width))


def _between(positions: Tensor, low: Tensor | int, high: Tensor | int) -> Tensor:
    return (positions >= low) & (positions < high)
