"""A GALN whose images all go to one group stops the run; groups that treat all images alike are warned about once.

The most probable group alone does not tell: while the probabilities are nearly uniform, as they are at the start and
were in whole runs, it is the same for all images by chance, and the groups still work as one averaged layer.
"""

import logging
from collections import Counter
from collections.abc import Mapping

from training.config import CollapseConfig
from training.failure import TrainingFailed
from training.group_use import GroupUse

log = logging.getLogger("training")


class CollapseWatch:
    """Looks at the reports of a run; `warm_up` is its number of warm-up steps."""

    def __init__(self, config: CollapseConfig, warm_up: int) -> None:
        self._config, self._warm_up, self._warned = config, warm_up, False
        self._in_a_row: Counter[str] = Counter()

    def suspects(self, uses: Mapping[str, GroupUse]) -> list[str]:
        """The branches that look collapsed. A checkpoint of such a network must not replace one from before."""
        return [name for name, use in uses.items() if use.effective < self._config.effective_groups]

    def report(self, step: int, uses: Mapping[str, GroupUse]) -> None:
        """Judge step `step`'s batch, by branch. Raises TrainingFailed."""
        suspected = self.suspects(uses)
        for name in uses:
            self._in_a_row[name] = self._in_a_row[name] + 1 if name in suspected else 0
            if self._in_a_row[name] >= self._config.reports > 0:
                raise TrainingFailed(_collapsed(step, name, uses[name], self._in_a_row[name]))
        if step >= self._warm_up and not self._warned:
            alike = [n for n, use in uses.items() if use.differentiation < self._config.differentiation]
            self._warn([name for name in alike if name not in suspected])

    def _warn(self, branches: list[str]) -> None:
        if branches:
            log.warning(
                "GALN: groups are not differentiated (%s): every image mixes them alike, as one averaged layer "
                "would; the run goes on",
                ", ".join(branches),
            )
            self._warned = True


def _collapsed(step: int, name: str, use: GroupUse, reports: int) -> str:
    return (
        f"GALN collapsed at step {step + 1} in branch {name}: {reports} reports in a row, its images used "
        f"{use.effective:.2f} of {use.of} groups (entropy of the mean probability {use.entropy_of_mean:.3f}, "
        f"mean entropy {use.entropy:.3f}, most probable groups {use.used}). The last checkpoint is from before it. "
        "Try a lower rate or a longer warm-up, or model.galn = false; collapse.reports = 0 goes on regardless"
    )
