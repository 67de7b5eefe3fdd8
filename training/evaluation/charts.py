"""The charts of a report: CMC curves, score histograms per probe height, and reliability."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.bundle.manifest import CalibrationBucket
from training.evaluation.calibration import name_range, reliability
from training.evaluation.evaluate import Run, subsets
from training.evaluation.outcome import cmc
from training.evaluation.pairs import Pairs
from training.evaluation.svg import COLOURS, Chart

_RANKS = 20
_BINS = 60


def cmc_curves(runs: Sequence[Run]) -> list[str]:
    """Per scorer: one chart of all variants, and one of the first variant per r."""
    charts = []
    for index, first in enumerate(runs[0].ranked):
        whole = {run.label: cmc(run.ranked[index].outcome, _RANKS) for run in runs}
        charts.append(_cmc(f"CMC, {first.scorer}", whole))
        parts = {
            name: cmc(first.outcome, _RANKS, members)
            for name, members in subsets(runs[0].probes).items()
            if first.outcome.first_match[:, members].any()
        }
        if len(parts) > 1:
            charts.append(_cmc(f"CMC, {first.scorer}, {runs[0].label}", parts))
    return charts


def score_histograms(pairs: Pairs, buckets: Sequence[CalibrationBucket]) -> list[str]:
    """Genuine and impostor scores per probe height, each with area 1, and the thresholds."""
    charts = []
    for bucket in buckets:
        members = pairs.heights >= bucket.min_height
        if bucket.max_height is not None:
            members &= pairs.heights < bucket.max_height
        part = pairs.of(members)
        scores = np.concatenate([part.genuine, part.impostors])
        edges = np.linspace(scores.min() - 1e-3, scores.max() + 1e-3, _BINS + 1)
        drawn = {
            name: np.histogram(scores, edges, density=True)[0]
            for name, scores in (("impostor", part.impostors), ("genuine", part.genuine))
        }
        top = 1.05 * max(heights.max() for heights in drawn.values())
        chart = Chart(
            f"Probes of {name_range(bucket.min_height, bucket.max_height)}",
            "score",
            "density",
            (float(edges[0]), float(edges[-1])),
            (0, float(top)),
            legend_left=True,
        )
        for (name, heights), colour in zip(drawn.items(), (COLOURS[1], COLOURS[0]), strict=True):
            chart.bars(edges.tolist(), heights.tolist(), name, colour=colour)
        for found in bucket.thresholds:
            chart.mark_x(found.score, f"FAR {found.far:g}")
        charts.append(chart.render())
    return charts


def reliability_curve(pairs: Pairs, buckets: Sequence[CalibrationBucket]) -> str:
    """Predicted probability against the share of matches, each half of the persons by the other half's map."""
    chart = Chart(
        "Calibration, on persons not fitted on",
        "predicted probability",
        "matches",
        (0, 1),
        (0, 1),
        legend_left=True,
    )
    chart.line([(0, 0), (1, 1)], colour="#888888", dashed=True)
    for bucket, colour in zip(buckets, COLOURS * len(buckets), strict=False):
        members = pairs.heights >= bucket.min_height
        if bucket.max_height is not None:
            members &= pairs.heights < bucket.max_height
        points = [(predicted, observed) for predicted, observed, _ in reliability(pairs.of(members))]
        chart.line(points, name_range(bucket.min_height, bucket.max_height), colour=colour)
        chart.dots(points, colour=colour)
    return chart.render()


def _cmc(title: str, curves: dict[str, NDArray[np.float64]]) -> str:
    lowest = min(curve[0] for curve in curves.values())
    floor = max(0.0, float(np.floor(lowest / 10) * 10))
    chart = Chart(title, "rank", "probes matched, %", (1, _RANKS), (floor if floor < 100 else 90.0, 100))
    for (label, curve), colour in zip(curves.items(), COLOURS * len(curves), strict=False):
        chart.line([(rank, value) for rank, value in enumerate(curve, start=1)], label, colour=colour)
    return chart.render()
