"""From a raw score to what it means for a probe of a given height, by the tables in the manifest."""

import math

from model.bundle.manifest import CalibrationBucket, Manifest, Threshold


class Calibration:
    """Answers None where the bundle holds no calibration for a height or rate: nothing is extrapolated."""

    def __init__(self, manifest: Manifest) -> None:
        self._buckets = manifest.calibration

    def probability(self, score: float, probe_height: int) -> float | None:
        """How likely two crops that score `score` show one person."""
        bucket = self._bucket(probe_height)
        return None if bucket is None else _logistic(bucket.slope * score + bucket.intercept)

    def threshold(self, probe_height: int, far: float) -> Threshold | None:
        """The score from which a match is accepted at the false-accept rate `far`."""
        bucket = self._bucket(probe_height)
        if bucket is None:
            return None
        return next((t for t in bucket.thresholds if math.isclose(t.far, far)), None)

    def _bucket(self, height: int) -> CalibrationBucket | None:
        for bucket in self._buckets:
            if bucket.min_height <= height and (bucket.max_height is None or height < bucket.max_height):
                return bucket
        return None


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
