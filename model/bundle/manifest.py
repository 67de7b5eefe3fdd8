"""`manifest.json`: what a bundle holds, how its pixels are prepared, how it was trained, what it scores."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

MANIFEST_NAME = "manifest.json"


def _inside_bundle(name: str) -> str:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or not path.parts:
        raise ValueError(f"{name!r} is not a relative path inside the bundle")
    return name


BundlePath = Annotated[str, AfterValidator(_inside_bundle)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Preprocessing(_Record):
    """How a decoded image becomes the encoder's input, the same in training, evaluation and service.

    The crop is made RGB, resized to `height` x `width` and handed to the graph as uint8
    (N, height, width, 3); the graph itself divides by 255 and normalises with `mean` and `std`.
    """

    height: int = Field(default=256, ge=16)
    width: int = Field(default=128, ge=16)
    resample: Literal["bilinear"] = "bilinear"  # Pillow's antialiased BILINEAR
    colour: Literal["RGB"] = "RGB"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)


class Encoders(_Record):
    """The encoders of the two branches map uint8 (N, height, width, 3) to unit float32 (N, dimension).

    Each is one graph, or a stem whose map goes on through the `trunk` that both share, held in memory once.
    """

    hr: BundlePath
    sr: BundlePath
    trunk: BundlePath | None = None

    def files(self) -> set[str]:
        return {name for name in (self.hr, self.sr, self.trunk) if name is not None}


class SuperResolver(_Record):
    """One RCAN graph: uint8 (N, height, width, 3) to uint8 (N, scale*height, scale*width, 3)."""

    scale: Literal[2, 3, 4]
    height: int = Field(ge=8)  # the native bucket: probes are resized to this before super-resolution
    width: int = Field(ge=4)
    file: BundlePath


class TrainingRecord(_Record):
    """Where the weights come from. `terms` says under what conditions they may be used."""

    data: str
    terms: str
    recipe: str
    started_from: str
    device: str
    hr_reference: tuple[int, int] | None = None  # height, width of what super-resolution leads to
    details: dict[str, str | int | float | bool] = {}


class EvaluationResult(_Record):
    """Figures in percent on one protocol. `subset` is `all` or `r=2`, `r=3`, `r=4`."""

    protocol: str  # e.g. "MLR-Market-1501 all"
    manifest: str | None = None  # the first 16 digits of its digest
    scorer: str  # "market1501" or "single_shot(repeats=10, seed=0)"
    variant: str  # what ran: "bundle", "bilinear instead of RCAN", "ImageNet ResNet-50"
    subset: str
    probes: int
    rank1: float
    rank5: float
    rank10: float
    map: float
    minp: float


class Parity(_Record):
    """The exporter's gate: ONNX Runtime against eager PyTorch on real crops."""

    crops: int
    batches: tuple[int, ...]
    max_abs_difference: float  # float32 graph
    min_cosine: float  # float32 graph
    min_cosine_stored: float  # weights as stored (float16 storage rounds them)
    max_batch_difference: float | None = None  # a row of a batch against the same crop alone
    swapped_cosine: float | None = None  # mean, with red and blue exchanged
    resolver_max_levels: int | None = None  # super-resolution: largest difference in grey levels
    resolver_differing: float | None = None  # super-resolution: share of samples that differ at all
    rank1_float32: float | None = None
    rank1_bfloat16: float | None = None


class Threshold(_Record):
    """The score above which impostor pairs are accepted at rate `far`, with a 95% confidence interval."""

    far: float
    score: float
    low: float
    high: float
    true_accept_rate: float


class CalibrationBucket(_Record):
    """Calibration for probes of `min_height` <= height < `max_height` pixels (None: no upper end).

    probability = 1 / (1 + exp(-(slope * score + intercept))).
    """

    min_height: int
    max_height: int | None
    slope: float
    intercept: float
    genuine_pairs: int
    impostor_pairs: int
    thresholds: tuple[Threshold, ...]


class Manifest(_Record):
    """Everything that the service must know about a bundle."""

    format: Literal[1] = 1
    bundle_id: str
    name: str
    created: datetime
    dimension: int = Field(ge=1)
    preprocessing: Preprocessing
    encoders: Encoders
    super_resolution: tuple[SuperResolver, ...]
    hr_reference_height: int = Field(ge=16)  # probes close to or above this skip super-resolution
    precision: Literal["float32", "float16"]  # of the encoders' stored weights; graphs compute in float32
    training: TrainingRecord
    parity: Parity | None = None
    evaluation: tuple[EvaluationResult, ...] = ()
    calibration: tuple[CalibrationBucket, ...] = ()
    files: dict[BundlePath, str]  # every file but the manifest, with its sha256

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        named = {*self.encoders.files(), *(s.file for s in self.super_resolution)}
        if missing := sorted(named - self.files.keys()):
            raise ValueError(f"files without a sha256: {', '.join(missing)}")
        if self.bundle_id != bundle_id(self.files):
            raise ValueError("bundle_id is not the hash of the files")
        return self


def bundle_id(files: Mapping[str, str]) -> str:
    """The first 16 hexadecimal digits of the sha256 over all (path, sha256) pairs, sorted by path."""
    return hashlib.sha256(json.dumps(sorted(files.items())).encode()).hexdigest()[:16]


def sha256_of(path: Path) -> str:
    """The sha256 of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
