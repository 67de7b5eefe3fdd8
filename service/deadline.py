"""How long a request may take, counted from when its body is in."""

import time
from dataclasses import dataclass

from service.problems import Kind, Problem


@dataclass(frozen=True, slots=True)
class Deadline:
    seconds: float
    started: float

    @classmethod
    def of(cls, seconds: float) -> "Deadline":
        return cls(seconds, time.perf_counter())

    @property
    def expired(self) -> bool:
        return self.elapsed > self.seconds

    @property
    def elapsed(self) -> float:
        return time.perf_counter() - self.started

    def check(self) -> None:
        if self.expired:
            raise self.problem()

    def problem(self) -> Problem:
        return Problem(Kind.DEADLINE_EXCEEDED, f"not done within {self.seconds:g} s")
