"""One evaluation from options to results: which data, which encoders, which variants, calibrated or not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.bundle.manifest import CalibrationBucket
from model.bundle.runtime import Runtime
from training.data.manifest import Manifest
from training.evaluation.calibration import calibrate, check_unseen, height_ranges
from training.evaluation.encoders import HIGH_RESOLUTION, BundleEncoder, Encoder
from training.evaluation.evaluate import Run, Tracker, Variant, evaluate
from training.evaluation.pairs import Pairs, join, make_pairs
from training.evaluation.scorers import Market1501


@dataclass(frozen=True)
class Calibrated:
    pairs: Pairs
    buckets: tuple[CalibrationBucket, ...]


def calibrated(
    manifest: Manifest, encoder: Encoder, runs: Sequence[Run], rates: Sequence[float]
) -> Calibrated:
    """From the super-resolved probes, and for heights that skip super-resolution from the sharp ones.

    Raises CalibrationError.
    """
    check_unseen(manifest)
    parts = []
    for run in runs:
        pairs = make_pairs(run.probes, run.gallery)
        if run.variant is Variant.SUPER_RESOLVED:
            parts.append(pairs)
        elif run.variant is Variant.SHARP:
            sharp = [encoder.route(int(height), "auto") == HIGH_RESOLUTION for height in pairs.heights]
            parts.append(pairs.of(np.array(sharp, bool)))
    together = join(parts)
    return Calibrated(together, calibrate(together, height_ranges(encoder, together.heights), rates=rates))


def rank1_through_bundle(manifest: Manifest, root: Path, tracker: Tracker) -> Callable[[Runtime], float]:
    """The exporter's check: Rank-1 (market1501 scorer, all images) of a runtime, in percent."""

    def rank1(runtime: Runtime) -> float:
        [run] = evaluate(
            manifest, root, BundleEncoder(runtime), [Variant.SUPER_RESOLVED], [Market1501()], tracker
        )
        return run.ranked[0].rows[0].result.rank1

    return rank1
