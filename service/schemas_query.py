"""What the routes that look at probes take and give."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, FailFast, Field, WithJsonSchema

from model.bundle.routing import SuperResolution
from service.body import Form
from service.identity import IdentityName
from service.schemas import Camera, JsonObject, Prefix, QualityOut, Time, from_json_text


def _number_from_text(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value in ("2", "3", "4") else value


# A generator of clients leaves out a call that has an enum of texts and numbers; a number is taken all the same.
_SCALES = {"type": "string", "enum": ["auto", "off", "2", "3", "4"]}
Scale = Annotated[
    SuperResolution,
    BeforeValidator(_number_from_text),
    WithJsonSchema(_SCALES),
    Field(description="auto routes by height; off scales plainly; a number asks for that scale"),
]


def _scalars(value: dict[str, Any]) -> dict[str, Any]:
    for name, wanted in value.items():
        if not isinstance(wanted, str | int | float | None):
            raise ValueError(f"{name[:64]!r}: expected text, a number, true, false or null")
    return value


def _numbers(value: Any) -> Any:
    if not isinstance(value, list) or not all(type(number) in (int, float) for number in value):
        raise ValueError("expected a JSON array of numbers")
    return value


Cameras = Annotated[list[Camera], FailFast(), Field(max_length=256)]
Numbers = Annotated[list[float], BeforeValidator(_numbers), BeforeValidator(from_json_text)]
MetadataFilter = Annotated[JsonObject, AfterValidator(_scalars)]


class ProbeForm(Form):
    super_resolution: Scale = "auto"


class QueryForm(ProbeForm):
    top_k: int | None = Field(
        None, ge=1, description="identities in the answer; at most the setting max_top_k"
    )
    min_score: float | None = Field(None, ge=-1, le=1, description="leaves out identities with a lower score")
    camera: Cameras = Field([], description="only images of these cameras; may be repeated")
    exclude_camera: Cameras = Field([], description="no images of these cameras; may be repeated")
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
    embedding: Numbers | None = Field(
        None, description="a vector from /embed, as a JSON array, in place of an image"
    )
    bundle: str | None = Field(
        None, max_length=64, description="with `embedding`: the bundle id that came with it"
    )


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
