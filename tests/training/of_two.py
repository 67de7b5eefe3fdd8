"""One of two processes that train together: `python -m tests.training.of_two FOLDER`, started by test_distributed."""

import dataclasses
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from model.dgrl import DGRL
from tests.training.test_runs import RECIPE, network, pairs
from training.distributed import joined
from training.train_dgrl import train_dgrl

SHARED = dataclasses.replace(RECIPE, identities_per_batch=4, epochs=4 / 3, checkpoint_minutes=0.0, ema=0.9)
ONE_STEP = dataclasses.replace(SHARED, epochs=1 / 3)  # three steps make an epoch


def gradients(trained: DGRL) -> dict[str, torch.Tensor]:
    """Those of the last step."""
    return {name: p.grad.clone().contiguous() for name, p in trained.named_parameters() if p.grad is not None}


class Interrupted(Exception):
    pass


class Forwards:
    """Counts a network's forwards, and interrupts one of them."""

    def __init__(self, network: nn.Module, interrupted: int | None = None) -> None:
        self.count, self._interrupted = 0, interrupted
        network.register_forward_pre_hook(self._note)

    def _note(self, *_: object) -> None:
        self.count += 1
        if self.count == self._interrupted:
            raise Interrupted


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with joined("cpu") as (ranks, device):
        own = folder / f"rank {ranks.rank}"  # shows who writes
        one = network()
        train_dgrl(ONE_STEP, one, pairs(), own, device, ranks)
        save_file(gradients(one), folder / f"gradients {ranks.rank}.safetensors")
        train_dgrl(SHARED, network(), pairs(), folder / "whole", device, ranks)
        broken, again = network(), network()
        Forwards(broken, interrupted=3)
        forwards = Forwards(again)
        try:
            train_dgrl(SHARED, broken, pairs(), folder / "resumed", device, ranks)
        except Interrupted:
            train_dgrl(SHARED, again, pairs(), folder / "resumed", device, ranks)
        (folder / f"forwards {ranks.rank}").write_text(str(forwards.count))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
