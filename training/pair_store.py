"""Where the decoded pairs lie while they are trained on, and how a batch is cut out of them."""

import logging
from dataclasses import dataclass

import torch
from torch import Tensor

from model.bundle.manifest import Preprocessing
from model.bundle.preprocessing import Pixels
from training.augment import Draws, augment_pairs
from training.device import Normalise, to_device
from training.sampler import Indices

log = logging.getLogger("training")

SHARE = 0.25
"""Pixels stay on a GPU if they take at most this share of its memory: network and activations need the rest."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """The training set, decoded: HR and SR uint8 (N, H, W, 3), and labels 0..identities-1."""

    hr: Pixels
    sr: Pixels
    labels: list[int]
    twins: str = ""  # what made the SR side; a run goes on with the same


class PairStore:
    """Batches on the device. No image is touched by Python; a step sends indices and draws, and pixels if they must.

    On a CPU, and where a GPU has too little memory, the pixels stay in the mapped caches.
    """

    def __init__(self, pairs: Pairs, device: torch.device, memory: int | None = None) -> None:
        """`memory` in bytes is the device's own unless given."""
        self._pairs, self._device = pairs, device
        self._normalise = Normalise(Preprocessing(), device)
        self._labels = torch.tensor(pairs.labels, device=device)
        size = pairs.hr.nbytes + pairs.sr.nbytes
        resident = fits(size, memory_of(device) if memory is None else memory)
        self._resident = [torch.tensor(p, device=device) for p in (pairs.hr, pairs.sr)] if resident else None
        log.info("pixels: %.2f GiB %s", size / 2**30, f"on {device}" if resident else "in mapped files")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self._pairs.hr.shape[1], self._pairs.hr.shape[2]

    def batch(self, chosen: Indices, draws: Draws) -> tuple[Tensor, Tensor, Tensor]:
        """HR and SR normalised (B, 3, H, W), channels last, and labels (B,) of the pairs `chosen`."""
        positions = to_device(torch.from_numpy(chosen), self._device)
        if self._resident is None:
            host = (torch.from_numpy(pixels[chosen]) for pixels in (self._pairs.hr, self._pairs.sr))
            hr, sr = (to_device(pixels, self._device) for pixels in host)
        else:
            hr, sr = (pixels[positions] for pixels in self._resident)
        return *augment_pairs(hr, sr, draws, self._normalise), self._labels[positions]


def fits(size: int, memory: int) -> bool:
    """Whether `size` bytes of pixels may stay on a device with `memory` bytes of its own."""
    return size <= SHARE * memory


def memory_of(device: torch.device) -> int:
    """Bytes of a GPU; a CPU has none of its own, the mapped files are as near."""
    return torch.cuda.get_device_properties(device).total_memory if device.type == "cuda" else 0
