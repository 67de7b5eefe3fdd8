"""What is exported, and how."""

from dataclasses import dataclass, field

from model.bundle.manifest import TrainingRecord
from model.embedder import Embedder
from model.rcan import RCAN
from training.config import HR_REFERENCE
from training.export.gate import Limits
from training.export.pictures import Bucket
from training.export.storage import FILE_LIMIT, StoredPrecision


class ExportError(ValueError):
    """What was given cannot become a bundle."""


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """`hr_reference` (height, width) is what super-resolution leads to: the buckets are its fractions."""

    name: str
    precision: StoredPrecision = "float16"  # of the encoders' weights
    resolver_precision: StoredPrecision = "float32"
    hr_reference: tuple[int, int] = HR_REFERENCE
    file_limit: int = FILE_LIMIT
    limits: Limits = field(default_factory=Limits)

    def bucket(self, scale: int) -> Bucket:
        height, width = self.hr_reference
        return Bucket(scale, height // scale, width // scale)


@dataclass(frozen=True, slots=True)
class Networks:
    """What is deployed: one embedder, and super-resolvers whose scales differ, or none."""

    embedder: Embedder
    resolvers: tuple[RCAN, ...]

    def by_scale(self) -> dict[int, RCAN]:
        """In rising order. Raises ExportError."""
        scales = [scale for rcan in self.resolvers for scale in rcan.config.scales]
        if len(scales) != len(set(scales)):
            raise ExportError(f"a super-resolution scale is given twice: {sorted(scales)}")
        return dict(sorted((scale, rcan) for rcan in self.resolvers for scale in rcan.config.scales))


def check_resolvers(training: TrainingRecord, *, given: bool) -> None:
    """Small probes are served as they were trained on. Raises ExportError where `--rcan` contradicts the record."""
    made_by = str(training.details.get("rcan", "not said"))
    if made_by.startswith("none"):
        if given:
            raise ExportError(
                f"by its record the network was trained without super-resolution (rcan: {made_by}): leave out --rcan"
            )
    elif not given:
        raise ExportError(
            f"give --rcan: only a network that its record says to be trained without goes without (rcan: {made_by})"
        )
