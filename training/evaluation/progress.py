"""A progress bar with images per second and the time left; one line per stage where there is no terminal."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.progress import TimeRemainingColumn as TimeLeft
from rich.text import Text

from training.evaluation.embed import Advance
from training.evaluation.evaluate import Tracker


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} images/s")


def tracker(console: Console) -> Tracker:
    @contextmanager
    def track(what: str, total: int) -> Iterator[Advance]:
        started = time.perf_counter()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Speed(), TimeLeft())
        hidden = not console.is_terminal
        with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
            task = progress.add_task(what, total=total)
            yield lambda done: progress.advance(task, done)
        seconds = time.perf_counter() - started
        speed = total / max(seconds, 1e-9)
        console.print(f"{what}: {total:,} images in {seconds:.1f} s, {speed:,.0f} images/s", highlight=False)

    return track
