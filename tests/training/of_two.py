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


def interrupt_at(forward: int, trained: nn.Module) -> None:
    left = forward

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            raise Interrupted

    trained.register_forward_pre_hook(count)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with joined("cpu") as (ranks, device):
        own = folder / f"rank {ranks.rank}"  # shows who writes
        one = network()
        train_dgrl(ONE_STEP, one, pairs(), own, device, ranks)
        save_file(gradients(one), folder / f"gradients {ranks.rank}.safetensors")
        train_dgrl(SHARED, network(), pairs(), folder / "whole", device, ranks)
        broken = network()
        interrupt_at(3, broken)
        try:
            train_dgrl(SHARED, broken, pairs(), folder / "resumed", device, ranks)
        except Interrupted:
            train_dgrl(SHARED, network(), pairs(), folder / "resumed", device, ranks)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
