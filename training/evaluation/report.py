"""An evaluation as JSON: every figure with its protocol, scorer, variant and subset."""

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from model.bundle.cpu import usable_cores
from model.bundle.manifest import CalibrationBucket, EvaluationResult
from training.data.manifest import Manifest
from training.data.records import DatasetError
from training.evaluation.evaluate import Row, Run

RULES = (
    "market1501 ranks all gallery images; single_shot ranks one drawn image per identity, mean of the draws. "
    "Both leave out junk and, per probe, its own identity by its own camera. "
    "AP is the mean of the plain precision at each hit; INP is matches / rank of the last match. "
    "A tie ranks the impostor first. Figures of two scorers or two manifests are never compared."
)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Protocol(_Record):
    """The manifest that fixes probes, gallery and factors."""

    name: str
    digest: str
    seed: int
    probes: int
    gallery: int


class Measured(_Record):
    """What was evaluated, and on what it ran."""

    name: str  # "bundle", "checkpoint", "ImageNet ResNet-50"
    identity: str  # bundle id, or sha256 of the weights
    source: str
    provider: str
    precision: str
    test_images: str = ""  # whether they are new to it, where that can be asked


class Deviation(_Record):
    """Standard deviation over the draws, in points."""

    rank1: float
    rank5: float
    rank10: float
    map: float
    minp: float


class Line(_Record):
    result: EvaluationResult
    deviation: Deviation | None
    without_match: int


class Timing(_Record):
    variant: str
    probes_per_second: float


class Report(_Record):
    created: datetime
    command: str
    machine: str
    protocol: Protocol
    measured: tuple[Measured, ...]
    lines: tuple[Line, ...]
    timings: tuple[Timing, ...]
    calibration: tuple[CalibrationBucket, ...] = ()
    rules: str = RULES

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Raises DatasetError naming a file that is no report."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise DatasetError(
                f"{path}: not a report of `evaluate` ({error.error_count()} faults)"
            ) from error

    @property
    def results(self) -> tuple[EvaluationResult, ...]:
        """What a bundle's manifest keeps."""
        return tuple(line.result for line in self.lines)


def make_report(
    manifest: Manifest,
    measured: Sequence[Measured],
    runs: Sequence[Run],
    command: str,
    calibration: tuple[CalibrationBucket, ...] = (),
) -> Report:
    ranked = [run.ranked for run in runs]  # of each run, by the same scorers
    return Report(
        created=datetime.now(UTC).replace(microsecond=0),
        command=command,
        machine=f"{platform.machine()}, {usable_cores()} cores, Python {platform.python_version()}",
        protocol=Protocol(
            name=manifest.name,
            digest=manifest.digest,
            seed=manifest.seed,
            probes=len(manifest.of("probe")),
            gallery=len(manifest.of("gallery")),
        ),
        measured=tuple(measured),
        lines=tuple(
            _line(row) for by_scorer in zip(*ranked, strict=True) for one in by_scorer for row in one.rows
        ),
        timings=tuple(
            Timing(variant=run.label, probes_per_second=round(len(run.probes.heights) / run.seconds, 2))
            for run in runs
        ),
        calibration=calibration,
    )


def _line(row: Row) -> Line:
    deviation = None
    if row.deviation is not None:
        figures = {name: getattr(row.deviation, name) for name in Deviation.model_fields}
        deviation = Deviation.model_validate(figures)
    return Line(result=row.result, deviation=deviation, without_match=row.without_match)
