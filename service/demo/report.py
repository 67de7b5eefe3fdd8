"""The demonstration's tables: who was found for each small crop, and where the time went."""

from collections.abc import Sequence
from statistics import median

from rich.table import Table

from service.demo.demo import Found

_SHOWN = 3
_STAGES = ("decode", "super_resolve", "embed", "search", "total")


def ranking(found: Sequence[Found]) -> Table:
    table = Table(title="Small crops of one camera, searched among sharp crops of the other")
    table.add_column("probe")
    table.add_column("pixels", justify="right")
    table.add_column("SR")
    for place in range(1, _SHOWN + 1):
        table.add_column(f"rank {place}")
    table.add_column("right person first")
    for one in found:
        probe, matches = one.answer.probe, one.answer.matches[:_SHOWN]
        places = [_marked(f"{m.identity} {m.score:.3f}", m.identity == one.person.name) for m in matches]
        places += [""] * (_SHOWN - len(places))
        right = "[green]yes[/]" if one.right_first else "[red]no[/]"
        table.add_row(one.person.name, f"{probe.width}x{probe.height}", _scale(one), *places, right)
    return table


def timings(found: Sequence[Found]) -> Table:
    """Medians over the probes of each scale, in milliseconds, as the service measured them.

    The last column is what a query costs beyond its inferences: 1.2 means a fifth on top.
    """
    table = Table(title="Time of a query in ms (median; all in the service)")
    table.add_column("SR")
    table.add_column("queries", justify="right")
    for title in ("decode", "super-resolve", "embed", "search", "whole query", "whole / models"):
        table.add_column(title, justify="right")
    for scale in sorted({_scale(one) for one in found}):
        group = [one.answer.timing_ms for one in found if _scale(one) == scale]
        stages = [f"{median(getattr(t, stage) for t in group):.1f}" for stage in _STAGES]
        ratio = median(t.total / (t.super_resolve + t.embed) for t in group)
        table.add_row(scale, str(len(group)), *stages, f"{ratio:.2f}")
    return table


def summary(found: Sequence[Found]) -> str:
    right = sum(one.right_first for one in found)
    return f"{right} of {len(found)} small crops found the right person first."


def _scale(one: Found) -> str:
    scale = one.answer.probe.scale
    return f"x{scale}" if scale else "none"


def _marked(text: str, right: bool) -> str:
    return f"[bold]{text}[/]" if right else text
