"""The mean of several reports: what is published of sets with random splits, each split with its own training."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from model.bundle.manifest import EvaluationResult
from training.data.records import DatasetError
from training.evaluation.errors import clear_errors
from training.evaluation.report import Deviation, Line, Protocol, Report
from training.evaluation.tables import FIGURES, print_report

_NAMES = [name for name, _ in FIGURES]
_SPLIT = re.compile(r"split (\d+)")


def average(
    reports: Annotated[list[Path], typer.Argument(help="JSON reports with the same rows")],
    json: Annotated[Path | None, typer.Option(help="write the mean as JSON")] = None,
) -> None:
    """Mean and standard deviation over the reports of several splits (or seeds)."""
    with clear_errors():
        if len(reports) < 2:
            raise typer.BadParameter("only one report: there is nothing to average")
        mean = average_reports([Report.load(path) for path in reports], [str(path) for path in reports])
        print_report(mean, Console())
        if json is not None:
            mean.save(json)


def average_reports(reports: Sequence[Report], names: Sequence[str]) -> Report:
    """`names` say which report does not fit. Raises DatasetError."""
    first = reports[0]
    seen: dict[str, str] = {}
    for report, name in zip(reports, names, strict=True):
        if _SPLIT.sub("split", report.protocol.name) != _SPLIT.sub("split", first.protocol.name):
            raise DatasetError(f"{name}: is of {report.protocol.name}, {names[0]} of {first.protocol.name}")
        if [_key(line) for line in report.lines] != [_key(line) for line in first.lines]:
            raise DatasetError(f"{name}: its rows are not those of {names[0]}")
        evaluated = " ".join([report.protocol.digest, *(measured.identity for measured in report.measured)])
        if evaluated in seen:
            raise DatasetError(f"{name}: the same weights on the same manifest as {seen[evaluated]}")
        seen[evaluated] = name
    digests = "".join(report.protocol.digest for report in reports)
    protocol = first.protocol.model_copy(
        update={
            "name": f"{_common_name(reports)}, mean of {len(reports)} reports",
            "digest": hashlib.sha256(digests.encode()).hexdigest(),
            "probes": sum(report.protocol.probes for report in reports),
            "gallery": sum(report.protocol.gallery for report in reports),
        }
    )
    lines = zip(*(report.lines for report in reports), strict=True)
    return first.model_copy(
        update={
            "protocol": protocol,
            "measured": tuple(measured for report in reports for measured in report.measured),
            "lines": tuple(_mean(line, protocol) for line in lines),
            "timings": (),
            "calibration": (),
        }
    )


def _common_name(reports: Sequence[Report]) -> str:
    """`MLR-VIPeR (splits 0, 1, 2) all`; the one name where the set has no splits."""
    found = [_SPLIT.search(report.protocol.name) for report in reports]
    splits = sorted({int(match[1]) for match in found if match})
    said = f"split{'s' if len(splits) > 1 else ''} {', '.join(map(str, splits))}"
    return _SPLIT.sub(said, reports[0].protocol.name)


def _mean(lines: Sequence[Line], protocol: Protocol) -> Line:
    values = np.array([[getattr(line.result, name) for name in _NAMES] for line in lines])
    mean = dict(zip(_NAMES, values.mean(axis=0).tolist(), strict=True))
    spread = dict(zip(_NAMES, values.std(axis=0, ddof=1).tolist(), strict=True))
    probes = sum(line.result.probes for line in lines)
    said = {"protocol": protocol.name, "manifest": protocol.digest[:16], "probes": probes}
    return Line(
        result=EvaluationResult.model_validate({**lines[0].result.model_dump(), **mean, **said}),
        deviation=Deviation.model_validate(spread),
        without_match=sum(line.without_match for line in lines),
    )


def _key(line: Line) -> tuple[str, str, str]:
    return line.result.scorer, line.result.variant, line.result.subset
