"""Calibration from the runs of an evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.bundle.manifest import CalibrationBucket
from training.data.manifest import NATIVE, Manifest
from training.evaluation.calibration import calibrate, check_unseen, height_ranges
from training.evaluation.encoders import HIGH_RESOLUTION, Encoder
from training.evaluation.evaluate import Run, Variant
from training.evaluation.pairs import Pairs, join, make_pairs


@dataclass(frozen=True)
class Calibrated:
    pairs: Pairs
    buckets: tuple[CalibrationBucket, ...]


def calibrated(
    manifest: Manifest, encoder: Encoder, runs: Sequence[Run], rates: Sequence[float]
) -> Calibrated:
    """From the probes as they are served; for heights that no probe made low has, from the sharp ones too.

    Raises CalibrationError.
    """
    check_unseen(manifest)
    parts = []
    for run in runs:
        pairs = make_pairs(run.probes, run.gallery)
        if run.variant is Variant.SUPER_RESOLVED:
            parts.append(pairs)
        elif run.variant is Variant.SHARP:
            skips = [encoder.route(int(height), "auto") == HIGH_RESOLUTION for height in pairs.heights]
            made_low = run.probes.factors != NATIVE  # else it is among the served already
            parts.append(pairs.of(np.array(skips, bool) & made_low))
    together = join(parts)
    return Calibrated(together, calibrate(together, height_ranges(encoder, together.heights), rates=rates))
