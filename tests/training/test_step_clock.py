"""The parts of a step, against a clock that the test turns."""

import pytest
import torch

from training.step_clock import StepClock, data_share


def test_each_part_gets_the_time_before_its_lap_and_what_lies_between_steps_goes_to_none() -> None:
    now = iter([0.0, 1.0, 4.0, 100.0, 102.0, 108.0])
    clock = StepClock(torch.device("cpu"), lambda: next(now))
    for _ in range(2):
        clock.begin()
        clock.lap("data")
        clock.lap("forward")
    steps = clock.read()
    assert steps == [{"data": 1.0, "forward": 3.0}, {"data": 2.0, "forward": 6.0}]
    assert data_share(steps) == pytest.approx(0.25)
    assert clock.read() == [] and data_share([]) == 0
