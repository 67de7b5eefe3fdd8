"""A loss that is not finite is found when it arrives, and nobody waits for it."""

import pytest
import torch
from torch import nn

from training.failure import TrainingFailed
from training.finite import FiniteWatch, check_weights

BAD = torch.tensor([1.0, float("nan")])


class Copy:
    """A copy from a GPU that arrives when the test says so."""

    def __init__(self) -> None:
        self.arrived = False

    def query(self) -> bool:
        return self.arrived

    def synchronize(self) -> None:
        self.arrived = True


def test_losses_that_are_there_are_looked_at_at_once() -> None:
    watch = FiniteWatch()
    watch.note(3, ["loss"], torch.ones(1))
    with pytest.raises(TrainingFailed, match=r"not finite at step 5: \{'loss': inf, 'wrt': 1\.0\}"):
        watch.note(4, ["loss", "wrt"], torch.tensor([torch.inf, 1.0]))


def test_losses_on_their_way_are_not_waited_for_and_found_when_they_arrive() -> None:
    watch, copy = FiniteWatch(), Copy()
    watch.expect(7, ["loss", "wrt"], BAD, copy)
    watch.expect(8, ["loss", "wrt"], torch.ones(2), Copy())
    copy.arrived = True
    with pytest.raises(TrainingFailed, match=r"not finite at step 8: .*'wrt': nan"):
        watch.check()


def test_before_a_checkpoint_they_are_waited_for() -> None:
    watch = FiniteWatch()
    watch.expect(7, ["loss", "wrt"], BAD, Copy())
    watch.check()
    with pytest.raises(TrainingFailed, match="not finite at step 8"):
        watch.check(wait=True)


def test_weights_that_are_not_finite_are_not_saved() -> None:
    layer = nn.Linear(2, 2)
    check_weights(1, layer.parameters())
    with torch.no_grad():
        layer.weight[0, 0] = torch.nan
    with pytest.raises(TrainingFailed, match="not finite after step 9, so no checkpoint is written"):
        check_weights(9, layer.parameters())
