"""The KL divergence between the predictions of any two branches (Eq. 10-12)."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def mutual_loss(logits: Sequence[Tensor]) -> Tensor:
    """Sum over ordered pairs of KL(p_j || p_i), teacher p_j detached, mean over the batch.

    Logits (B, N) of at least two branches, at temperature 1.
    """
    log_p = [F.log_softmax(branch.float(), dim=1) for branch in logits]
    pairs = [(i, j) for i in range(len(log_p)) for j in range(len(log_p)) if i != j]
    if not pairs:
        raise ValueError(
            "the KL term compares branches: turn it off (mutual = 0) where there are no side branches"
        )
    terms = [F.kl_div(log_p[i], log_p[j].detach(), reduction="batchmean", log_target=True) for i, j in pairs]
    return sum(terms[1:], start=terms[0])
