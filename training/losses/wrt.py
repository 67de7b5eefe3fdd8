"""The weighted regularisation triplet loss (Eq. 8; Ye et al., AGW, TPAMI 2021) with an exact masked softmax.

Per anchor: the softmax(d)-weighted positive distance (the anchor itself included) minus the softmax(-d)-weighted
negative distance, through softplus. The widely copied public code shifts its exponentials by the wrong maximum and
underflows beyond distances of about 13; here the weights come from a softmax over masked entries.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def wrt_loss(features: Tensor, labels: Tensor) -> Tensor:
    """F before the BNNeck (B, D), not normalised, and labels (B,).

    NaN where an anchor has no negative: PKSampler draws no such batch, and a check here would wait for the GPU.
    """
    with torch.autocast(features.device.type, enabled=False):
        distance = euclidean(features.float())  # (B, B)
        same = labels.unsqueeze(0) == labels.unsqueeze(1)  # (B, B)
        furthest = (_masked_softmax(distance, same) * distance).sum(dim=1)  # (B,)
        nearest = (_masked_softmax(-distance, ~same) * distance).sum(dim=1)  # (B,)
        return F.softplus(furthest - nearest).mean()


def euclidean(x: Tensor) -> Tensor:
    """Pairwise Euclidean distances (B, B); the root's gradient at zero is kept finite."""
    square = x.square().sum(dim=1)
    d2 = square.unsqueeze(0) + square.unsqueeze(1) - 2 * x @ x.T
    return d2.clamp(min=1e-12).sqrt()


def _masked_softmax(logits: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, logits, -torch.inf).softmax(dim=1)
