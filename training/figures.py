"""What a report of the DGRL training shows, over the joint batch."""

import torch
from torch import Tensor

from model.dgrl import DGRLOutput
from training.distributed import ALONE, Ranks
from training.group_use import GroupUse, group_use
from training.losses.total import Losses

BRANCHES = ("main", "side2", "side3")


def figures(losses: Losses, output: DGRLOutput, labels: Tensor, ranks: Ranks) -> dict[str, float]:
    """The loss, its terms, and the training accuracy of the main branch."""
    accuracy = (output.branches[0].logits.argmax(1) == torch.cat([labels, labels])).float().mean()
    named = {"loss": losses.total} | losses.terms | {"accuracy": accuracy}
    values = ranks.mean(torch.stack(list(named.values()))).tolist()  # one wait for the GPU
    return dict(zip(named, values, strict=True))


def group_uses(output: DGRLOutput, ranks: Ranks = ALONE) -> dict[str, GroupUse]:
    """How each branch uses its groups; none without GALN."""
    named = zip(BRANCHES, output.branches, strict=False)
    return {
        name: group_use(ranks.gather(branch.groups.detach()))
        for name, branch in named
        if branch.groups is not None
    }


def shown(uses: dict[str, GroupUse]) -> dict[str, float]:
    """The uses as figures, named by branch."""
    flat: dict[str, float] = {}
    for name, use in uses.items():
        values = {"entropy": use.entropy, "effective groups": use.effective, "groups": use.used}
        flat |= {f"{figure} {name}": value for figure, value in values.items()}
    return flat
