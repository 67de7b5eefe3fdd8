"""PSNR and SSIM of an RCAN against bicubic enlargement, per scale, on images it was not trained on."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from model.bundle.preprocessing import Pixels
from model.rcan import RCAN, to_pixels
from training.data.area import area_downsample
from training.device import pixels_to_tensor
from training.packed import fitted

_BATCH = 64


@dataclass(frozen=True, slots=True)
class Quality:
    """Means over images: PSNR in dB over RGB, SSIM (Wang et al., 2004; 11-pixel Gaussian) over RGB."""

    psnr: float
    ssim: float
    bicubic_psnr: float
    bicubic_ssim: float


@torch.inference_mode()
def measure(network: RCAN, images: Pixels, device: torch.device) -> dict[int, Quality]:
    """For each of the network's scales, on HR images uint8 (N, H, W, 3)."""
    network.eval()
    results = {}
    for scale in network.config.scales:
        sums = np.zeros(4)
        for start in range(0, len(images), _BATCH):
            high = np.ascontiguousarray(images[start : start + _BATCH])
            low = area_downsample(high, scale)
            size = (low.shape[1] * scale, low.shape[2] * scale)
            target = pixels_to_tensor(np.stack([fitted(image, size) for image in high]), device)
            enlarged = to_pixels(network(pixels_to_tensor(low, device), scale)).float()
            bicubic = pixels_to_tensor(np.stack([_bicubic(image, size) for image in low]), device)
            sums += [float(f(y, target).sum()) for y in (enlarged, bicubic) for f in (psnr, ssim)]
        results[scale] = Quality(*(float(value) for value in sums / len(images)))
    network.train()
    return results


def psnr(y: Tensor, target: Tensor) -> Tensor:
    """Per image, in dB, for 0..255 maps (B, 3, H, W)."""
    error = (y - target).square().mean(dim=(1, 2, 3)).clamp(min=1e-10)
    return 10 * torch.log10(255**2 / error)


def ssim(y: Tensor, target: Tensor) -> Tensor:
    """Per image, for 0..255 maps (B, 3, H, W), without padding."""
    offsets = torch.arange(11, device=y.device) - 5.0
    line = torch.exp(-offsets.square() / (2 * 1.5**2))
    line = line / line.sum()
    window = torch.outer(line, line).expand(3, 1, 11, 11)

    def blur(x: Tensor) -> Tensor:
        return F.conv2d(x, window, groups=3)

    mean_y, mean_t = blur(y), blur(target)
    var_y, var_t = blur(y * y) - mean_y.square(), blur(target * target) - mean_t.square()
    covariance = blur(y * target) - mean_y * mean_t
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = (2 * mean_y * mean_t + c1) * (2 * covariance + c2)
    similarity = similarity / ((mean_y.square() + mean_t.square() + c1) * (var_y + var_t + c2))
    return similarity.mean(dim=(1, 2, 3))


def _bicubic(image: Pixels, size: tuple[int, int]) -> Pixels:
    return np.array(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BICUBIC))
