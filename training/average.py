"""An exponential moving average of the network (Polyak averaging): steadier than the last step's weights.

BatchNorm's running statistics are averaged with the weights that they belong to.
"""

import copy
from typing import Generic

from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from training.device import ModuleT


class Average(Generic[ModuleT]):
    """`network` is the average of `live`'s weights and statistics; `live` trains on as if there were none."""

    def __init__(self, live: ModuleT, decay: float) -> None:
        self.network = copy.deepcopy(live).eval().requires_grad_(False)
        self._decay = decay
        self._live, self._own = live.state_dict(), self.network.state_dict()

    def update(self, step: int) -> None:
        """Take in the weights after step `step` (from 0). At the start the decay is lower: the first weights fade."""
        decay = min(self._decay, (1 + step) / (10 + step))
        floating = [name for name, tensor in self._own.items() if tensor.is_floating_point()]
        take_in = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        take_in(_of(self._own, floating), _of(self._live, floating), step)
        for name in self._own.keys() - floating:
            self._own[name].copy_(self._live[name])  # counters


def _of(state: dict[str, Tensor], names: list[str]) -> list[Tensor]:
    return [state[name] for name in names]
