"""One progress line for people and TensorBoard scalars for curves."""

import logging
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from torch.utils.tensorboard import SummaryWriter

log = logging.getLogger("training")


class Progress:
    """Counts images, prints a line every `every` steps and writes the same figures for TensorBoard."""

    def __init__(self, folder: Path, *, steps: int, first: int, every: int, silent: bool = False) -> None:
        # TensorBoard leaves out what a run that was cut off wrote after its checkpoint
        self._writer = None if silent else SummaryWriter(str(folder), purge_step=first + 1 if first else None)
        self._steps, self._every = steps, every
        self._started = self._since = time.monotonic()
        self._first, self._images = first, 0

    def __enter__(self) -> Self:
        if self._writer and self._first:
            log.info("going on after step %d of %d", self._first, self._steps)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer:
            self._writer.close()

    def due(self, step: int) -> bool:
        """Whether step `step` (counted from 0) is one to log."""
        return (step + 1) % self._every == 0 or step + 1 == self._steps

    def count(self, images: int) -> None:
        """Note that a step has used `images` images."""
        self._images += images

    def report(self, step: int, figures: dict[str, float]) -> None:
        """Log the figures of step `step`, the speed since the last report, and the time left."""
        if not self._writer:
            return
        now = time.monotonic()
        speed = self._images / max(now - self._since, 1e-9)
        left = (now - self._started) / (step + 1 - self._first) * (self._steps - step - 1)
        text = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        log.info("step %d/%d  %s  %.1f images/s  %s left", step + 1, self._steps, text, speed, _clock(left))
        for name, value in figures.items():
            self._writer.add_scalar(name, value, step + 1)
        self._writer.add_scalar("images per second", speed, step + 1)
        self._since, self._images = now, 0


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
