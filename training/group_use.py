"""How GALN uses its groups in a batch: collapse onto one group is its silent failure."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class GroupUse:
    """Of one batch and branch; entropies in nats, log(of) is uniform."""

    entropy: float  # mean over the images of the entropy of their group probabilities
    entropy_of_mean: float  # entropy of the mean probability: near 0, one group has it all
    used: int  # groups that are the most probable one for at least one image
    of: int  # K

    @property
    def effective(self) -> float:
        """The number of equally used groups that would have this entropy of the mean: 1 to K."""
        return math.exp(self.entropy_of_mean)

    @property
    def differentiation(self) -> float:
        """How much an image's probabilities say of the image: mutual information as a share of log(K), 0 to 1."""
        return (self.entropy_of_mean - self.entropy) / math.log(self.of)


@torch.no_grad()
def group_use(probabilities: Tensor) -> GroupUse:
    """From the group probabilities (B, K)."""
    return GroupUse(
        entropy=float(torch.special.entr(probabilities).sum(dim=1).mean()),
        entropy_of_mean=float(torch.special.entr(probabilities.mean(dim=0)).sum()),
        used=len(set(probabilities.argmax(dim=1).tolist())),
        of=probabilities.shape[1],
    )
