"""What the routes that look at probes take and give."""

import unicodedata
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from model.bundle.routing import SuperResolution
from service.body import Form
from service.identity import IdentityName
from service.schemas import Camera, QualityOut, Time, bounded_json, from_json_text


def _number_from_text(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value in ("2", "3", "4") else value


Scale = Annotated[
    SuperResolution,
    BeforeValidator(_number_from_text),
    Field(description="auto routes by height; off scales plainly; a number asks for that scale"),
]


def _text(value: str) -> str:
    if any(unicodedata.category(character) == "Cs" for character in value):
        raise ValueError("half of a surrogate pair is no text")
    return value


def _scalars(value: dict[str, Any]) -> dict[str, Any]:
    for name, wanted in value.items():
        if not isinstance(wanted, str | int | float | None):
            raise ValueError(f"{name[:64]!r}: expected text, a number, true, false or null")
        _text(f"{name}{wanted}")
    return value


Prefix = Annotated[
    str,
    AfterValidator(_text),
    AfterValidator(lambda text: unicodedata.normalize("NFC", text)),
    Field(max_length=128),
]
MetadataFilter = Annotated[
    dict[str, Any],
    BeforeValidator(from_json_text),
    AfterValidator(bounded_json),
    AfterValidator(_scalars),
]


class ProbeForm(Form):
    super_resolution: Scale = "auto"


class QueryForm(ProbeForm):
    top_k: int | None = Field(None, ge=1, description="identities in the answer")
    min_score: float | None = Field(None, ge=-1, le=1, description="leaves out identities with a lower score")
    camera: list[Camera] = Field([], description="only images of these cameras; may be repeated")
    exclude_camera: list[Camera] = Field([], description="no images of these cameras; may be repeated")
    since: Time | None = Field(None, description="only images taken at this time or later (ISO 8601, UTC)")
    until: Time | None = Field(None, description="only images taken before this time")
    prefix: Prefix | None = Field(None, description="only identities whose name starts so")
    metadata: MetadataFilter | None = Field(
        None, description="only images whose metadata has these values: a JSON object of scalars"
    )
    rerank: bool = Field(
        False, description="k-reciprocal order of the best candidates; `score` and `probability` stay"
    )
    return_super_resolved: bool = Field(False, description="adds each super-resolved crop as a base64 PNG")


class EmbedForm(ProbeForm):
    pass


class VerifyForm(ProbeForm):
    identity: IdentityName | None = None
    embedding: Annotated[list[float], BeforeValidator(from_json_text)] | None = Field(
        None, description="a vector from /embed, as a JSON array, in place of an image"
    )
    bundle: str | None = Field(None, description="with `embedding`: the bundle id that came with it")


class ProbeOut(BaseModel):
    width: int
    height: int
    scale: int | None = Field(description="of the super-resolution; null: skipped")
    branch: Literal["hr", "sr"]
    quality: QualityOut
    super_resolved: str | None = Field(None, description="base64 PNG")


class SupportOut(BaseModel):
    image_id: str
    score: float
    camera: str | None


class MatchOut(BaseModel):
    rank: int
    identity: str
    score: float = Field(description="cosine similarity, from -1 to 1")
    probability: float | None = Field(
        description="that probe and image show one person; null: not calibrated"
    )
    match: bool | None = Field(description="whether the score passes the threshold; null: not calibrated")
    images: list[SupportOut] = Field(description="the best images, best first")


class CalibrationOut(BaseModel):
    """What `probability` and `match` rest on for this probe's height."""

    far: float = Field(description="false-accept rate at which `match` decides")
    threshold: float | None
    low: float | None = Field(description="95% confidence interval of the threshold")
    high: float | None
    note: str | None = Field(description="why something is null")


class Timing(BaseModel):
    """Milliseconds; `queue` is the waiting for a turn, `total` runs from the request's arrival."""

    decode: float
    super_resolve: float
    embed: float
    search: float
    queue: float
    total: float


class QueryAnswer(BaseModel):
    probe: ProbeOut = Field(description="of several images, the one of median height; its height calibrates")
    probes: list[ProbeOut]
    matches: list[MatchOut]
    aggregation: Literal["best image"] = Field("best image", description="how an identity's score is made")
    order: Literal["score", "k-reciprocal"] = Field(
        description="k-reciprocal: re-ranked, so that scores need not descend"
    )
    calibration: CalibrationOut
    bundle: str
    timing_ms: Timing


class Vector(ProbeOut):
    vector: list[float]


class EmbedAnswer(BaseModel):
    bundle: str
    dimension: int
    embeddings: list[Vector]
    timing_ms: Timing


class VerifyAnswer(BaseModel):
    same: bool | None = Field(description="null: not calibrated")
    score: float
    probability: float | None
    identity: str | None
    images: list[SupportOut] = Field(description="with an identity: its best images")
    probes: list[ProbeOut]
    calibration: CalibrationOut
    bundle: str
    timing_ms: Timing
