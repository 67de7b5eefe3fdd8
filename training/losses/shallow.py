"""The L1 term between the paired shallow maps (Eq. 5): smooth L1 with beta 1, averaged over all elements.

The paper writes a sum; a sum is four to seven orders larger than the other terms and drowns them (DGRL.md, 5).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def shallow_loss(hr: Tensor, sr: Tensor) -> Tensor:
    """f_h and f_s (B, C, H, W) of the same crops, in float32; the gradient reaches both stems."""
    with torch.autocast(hr.device.type, enabled=False):
        return F.smooth_l1_loss(hr.float(), sr.float(), beta=1.0)
