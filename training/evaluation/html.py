"""A report as one self-contained HTML page: no scripts, no files beside it, no images of people."""

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from pathlib import Path

from model.bundle.manifest import CalibrationBucket
from training.evaluation.calibration import METHOD, name_range
from training.evaluation.report import Line, Measured, Report
from training.evaluation.tables import FIGURES, figure

_STYLE = """
:root { color-scheme: light dark; --line: #8885; --faint: #888; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin-bottom: .2rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; margin: .5rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child, .left { text-align: left; }
tr.whole td { font-weight: 600; border-top: 1px solid var(--faint); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; }
dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; }
.charts { display: flex; flex-wrap: wrap; gap: 1rem; } .charts svg { max-width: 100%; height: auto; }
p.rule { color: var(--faint); max-width: 50rem; }
svg text { font: 11px system-ui, sans-serif; fill: currentColor; } svg .title { font-weight: 600; font-size: 13px; }
svg .small { font-size: 9px; } svg .grid { stroke: var(--line); stroke-width: .5; }
svg .frame { fill: none; stroke: var(--line); } svg .mark { stroke: currentColor; stroke-dasharray: 2 3; }
"""


def write_html(
    report: Report,
    path: Path,
    *,
    curves: Sequence[str],
    histograms: Sequence[str] = (),
    reliability: str = "",
) -> None:
    """The charts are rendered SVG (see charts.py)."""
    title = f"{report.measured[0].name} on {report.protocol.name}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        _facts(report),
        *_scores(report),
        f'<p class="rule">{escape(report.rules)}</p>',
        _charts(curves),
    ]
    if report.calibration:
        parts += ["<h2>Calibration</h2>", _calibration(report.calibration)]
        parts += [f'<p class="rule">{escape(METHOD)}</p>', _charts([*histograms, reliability])]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = "\n".join(parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<!doctype html>\n<html lang="en"><head>{head}<style>{_STYLE}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n",
        encoding="utf-8",
    )


def _facts(report: Report) -> str:
    protocol = report.protocol
    facts = [
        ("protocol", protocol.name),
        ("manifest", f"{protocol.digest}, seed {protocol.seed}"),
        ("images", f"{protocol.probes:,} probes, {protocol.gallery:,} in the gallery"),
        *(fact for measured in report.measured for fact in _measured(measured)),
        ("machine", report.machine),
        ("created", report.created.isoformat()),
        ("command", report.command),
    ]
    return (
        "<dl>"
        + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
        + "</dl>"
    )


def _measured(measured: Measured) -> Iterator[tuple[str, str]]:
    ran = f"{measured.identity} ({measured.source}), {measured.provider}, {measured.precision}"
    yield measured.name, ran
    if measured.test_images:
        yield "test images", measured.test_images


def _scores(report: Report) -> Iterator[str]:
    for scorer, lines in groupby(report.lines, key=lambda line: line.result.scorer):
        yield f"<h2>{escape(scorer)}</h2>"
        headings = "".join(f"<th>{heading}</th>" for _, heading in FIGURES)
        yield (
            f'<table><tr><th>variant</th><th class="left">probes</th><th>n</th>{headings}</tr>'
            + "".join(map(_row, lines))
            + "</table>"
        )


def _row(line: Line) -> str:
    whole = line.result.subset == "all"
    name = escape(line.result.variant) if whole else ""
    figures = "".join(f"<td>{figure(line, key)}</td>" for key, _ in FIGURES)
    return (
        f'<tr{" class=whole" if whole else ""}><td>{name}</td><td class="left">{escape(line.result.subset)}</td>'
        f"<td>{line.result.probes:,}</td>{figures}</tr>"
    )


def _calibration(buckets: Sequence[CalibrationBucket]) -> str:
    rows = []
    for bucket in buckets:
        for found in bucket.thresholds:
            rows.append(
                f"<tr><td>{name_range(bucket.min_height, bucket.max_height)}</td><td>{bucket.genuine_pairs:,}</td>"
                f"<td>{bucket.impostor_pairs:,}</td><td>{found.far:g}</td><td>{found.score:.3f}</td>"
                f"<td>{found.low:.3f}–{found.high:.3f}</td><td>{100 * found.true_accept_rate:.1f}%</td></tr>"
            )
    return (
        "<table><tr><th>probe height</th><th>genuine</th><th>impostors</th><th>FAR</th><th>threshold</th>"
        "<th>95%</th><th>genuine accepted</th></tr>" + "".join(rows) + "</table>"
    )


def _charts(charts: Sequence[str]) -> str:
    return '<div class="charts">' + "".join(charts) + "</div>"
