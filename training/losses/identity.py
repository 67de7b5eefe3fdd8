"""The ID loss (Eq. 6): cross entropy with label smoothing over the training identities."""

import torch.nn.functional as F
from torch import Tensor


def identity_loss(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Logits (B, N) and labels (B,). PyTorch's smoothing is the paper's: q_y = 1 - (N-1)/N xi, else xi/N."""
    return F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
