"""RCAN's training pairs, made once: the LR twin of every image at every scale, and the HR image it leads to."""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from model.bundle.preprocessing import Pixels
from training.data.area import area_downsample
from training.device import to_device
from training.packed import fitted
from training.pair_store import fits, memory_of
from training.sampler import Indices

log = logging.getLogger("training")


class ScaledPairs:
    """Batches on the device; the pixels lie there, too, by the rule of `pair_store`, and else in host memory."""

    def __init__(self, images: Pixels, scales: Sequence[int], device: torch.device) -> None:
        self._device = device
        self._pairs = {scale: pair(images, scale) for scale in scales}
        size = sum(pixels.nbytes for both in self._pairs.values() for pixels in both)
        self._resident: dict[int, list[Tensor]] | None = None
        if fits(size, memory_of(device)):
            self._resident = {
                scale: [torch.tensor(pixels, device=device) for pixels in both]
                for scale, both in self._pairs.items()
            }
        log.info("pixels: %.2f GiB %s", size / 2**30, f"on {device}" if self._resident else "in host memory")

    def batch(self, scale: int, chosen: Indices, flip: bool) -> tuple[Tensor, Tensor]:
        """LR (B, 3, h, w) and HR (B, 3, scale*h, scale*w) in 0..255, all of them flipped or none."""
        if self._resident is None:
            low, high = (
                to_device(torch.from_numpy(np.ascontiguousarray(pixels[chosen])), self._device)
                for pixels in self._pairs[scale]
            )
        else:
            positions = to_device(torch.from_numpy(chosen), self._device)
            low, high = (pixels[positions] for pixels in self._resident[scale])
        if flip:
            low, high = low.flip(2), high.flip(2)
        return low.permute(0, 3, 1, 2).float(), high.permute(0, 3, 1, 2).float()


def pair(images: Pixels, scale: int) -> tuple[Pixels, Pixels]:
    """LR uint8 (N, h, w, 3), and HR fitted to (N, scale*h, scale*w, 3): `images` themselves where they fit."""
    low = area_downsample(images, scale)
    size = (low.shape[1] * scale, low.shape[2] * scale)
    if images.shape[1:3] == size:
        return low, images
    return low, np.stack([fitted(image, size) for image in images])
