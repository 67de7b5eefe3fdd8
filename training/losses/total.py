"""The holistic loss: L = gamma L1 + L_ID + L_WRT + D_KL (Eq. 7, 9, 12, 13)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.dgrl import DGRLOutput
from training.config import ConfigError, LossConfig
from training.distributed import ALONE, Ranks
from training.losses.identity import identity_loss
from training.losses.mutual import mutual_loss
from training.losses.shallow import shallow_loss
from training.losses.wrt import wrt_loss


@dataclass(frozen=True, slots=True)
class Losses:
    """The sum that is minimised, and its weighted terms for the log (absent: turned off)."""

    total: Tensor
    terms: dict[str, Tensor]


def total_loss(output: DGRLOutput, labels: Tensor, config: LossConfig, ranks: Ranks = ALONE) -> Losses:
    """Labels (B,) of the pairs; each pair stands twice in the spliced batch, HR first, then SR.

    Over several ranks the joint batch's loss is the mean of theirs: only WRT looks beyond single pairs.
    """
    both = torch.cat([labels, labels])  # (2B,)
    terms: dict[str, Tensor] = {}
    if config.shallow:
        terms["shallow"] = config.shallow * shallow_loss(output.shallow_hr, output.shallow_sr)
    if config.identity:
        each = [identity_loss(branch.logits, both, config.label_smoothing) for branch in output.branches]
        terms["identity"] = config.identity * _weighted(each, config.side_identity)
    if config.wrt:
        everyone = ranks.gather(both)
        each = [wrt_loss(ranks.gather(branch.feature), everyone) for branch in output.branches]
        terms["wrt"] = config.wrt * _weighted(each, config.side_wrt)
    if config.mutual:
        terms["mutual"] = config.mutual * mutual_loss([branch.logits for branch in output.branches])
    if not terms:
        raise ConfigError("every loss is turned off: there is nothing to train; set a weight in [losses]")
    return Losses(torch.stack(list(terms.values())).sum(), terms)


def _weighted(each: list[Tensor], side_weights: tuple[float, float]) -> Tensor:
    """Main branch plus weighted side branches."""
    total = each[0]
    for term, weight in zip(each[1:], side_weights, strict=False):
        total = total + weight * term
    return total
