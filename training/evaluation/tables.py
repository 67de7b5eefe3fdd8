"""Reports on the terminal."""

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table

from model.bundle.manifest import CalibrationBucket
from training.evaluation.calibration import METHOD, name_range
from training.evaluation.report import Deviation, Line, Measured, Report

FIGURES = (("rank1", "Rank-1"), ("rank5", "Rank-5"), ("rank10", "Rank-10"), ("map", "mAP"), ("minp", "mINP"))


def print_report(report: Report, console: Console) -> None:
    for measured in report.measured:
        print_subject(measured, console)
    protocol = report.protocol
    console.print(
        f"{protocol.name}: {protocol.probes:,} probes, {protocol.gallery:,} gallery images, "
        f"seed {protocol.seed}, manifest {protocol.digest[:16]}",
        highlight=False,
    )
    for name, lines in groupby(report.lines, key=lambda line: line.result.scorer):
        console.print(_table(name, list(lines)))
    without = max((line.without_match for line in report.lines), default=0)
    if without:
        console.print(f"{without:,} probes have no match in the gallery and are not scored.")
    for timing in report.timings:
        console.print(f"{timing.variant}: {timing.probes_per_second:,.1f} probes/s", highlight=False)
    if report.calibration:
        print_calibration(report.calibration, console)


def print_subject(measured: Measured, console: Console) -> None:
    console.print(
        f"[bold]{measured.name}[/] {measured.identity} ({measured.source}), "
        f"{measured.provider}, {measured.precision}",
        highlight=False,
    )
    if measured.test_images:
        console.print(f"test images: {measured.test_images}", highlight=False)


def print_calibration(buckets: Sequence[CalibrationBucket], console: Console) -> None:
    table = Table(title="Calibration", title_justify="left", caption=METHOD, caption_justify="left")
    for column in (
        "probe height",
        "genuine",
        "impostors",
        "p = 1/2 at",
        "FAR",
        "threshold",
        "95%",
        "accepted",
    ):
        table.add_column(column, justify="right")
    for bucket in buckets:
        first = [
            name_range(bucket.min_height, bucket.max_height),
            f"{bucket.genuine_pairs:,}",
            f"{bucket.impostor_pairs:,}",
            f"{-bucket.intercept / bucket.slope:.3f}",
        ]
        for found in bucket.thresholds:
            interval = f"{found.low:.3f}-{found.high:.3f}"
            accepted = f"{100 * found.true_accept_rate:.1f}%"
            table.add_row(*first, f"{found.far:g}", f"{found.score:.3f}", interval, accepted)
            first = ["", "", "", ""]
        table.add_section()
    console.print(table)


def figure(line: Line, name: str) -> str:
    """`93.9`, or `93.9 ± 0.4` where the gallery was drawn several times."""
    value = f"{getattr(line.result, name):.1f}"
    deviation: Deviation | None = line.deviation
    return value if deviation is None else f"{value} ± {getattr(deviation, name):.1f}"


def _table(title: str, lines: Sequence[Line]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("variant")
    table.add_column("probes")
    table.add_column("n", justify="right")
    for _, heading in FIGURES:
        table.add_column(heading, justify="right")
    previous = ""
    for line in lines:
        result = line.result
        if previous and result.variant != previous:
            table.add_section()
        shown = "" if result.variant == previous else result.variant
        table.add_row(
            shown, result.subset, f"{result.probes:,}", *(figure(line, name) for name, _ in FIGURES)
        )
        previous = result.variant
    return table
