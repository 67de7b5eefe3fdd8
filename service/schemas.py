"""What the gallery's routes take and give."""

import json
import math
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from service.body import Form
from service.identity import IdentityName, check_identity
from service.quality import Quality

_MAX_METADATA_BYTES = 16 * 1024


def _in_utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _not_a_number(value: Any) -> Any:
    if isinstance(value, int | float) or (
        isinstance(value, str) and value.lstrip("+-").replace(".", "").isdigit()
    ):
        raise ValueError("expected ISO 8601, such as 2026-03-01T12:30:00Z")
    return value


def from_json_text(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None


def bounded_json(value: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(json.dumps(value, allow_nan=False).encode())
    except (ValueError, RecursionError):
        raise ValueError("not JSON: NaN, infinite or nested too deeply") from None
    if size > _MAX_METADATA_BYTES:
        raise ValueError(f"at most {_MAX_METADATA_BYTES} bytes of JSON, not {size}")
    return value


Time = Annotated[
    datetime,
    BeforeValidator(_not_a_number),
    AfterValidator(_in_utc),
    Field(description="ISO 8601; without an offset it is UTC"),
]
Camera = Annotated[str, AfterValidator(check_identity), Field(description="the camera's name")]
Metadata = Annotated[
    dict[str, Any],
    BeforeValidator(from_json_text),
    AfterValidator(bounded_json),
    Field(description="a JSON object of your own"),
]


class EnrolForm(Form):
    identity: IdentityName
    camera: Camera | None = None
    captured_at: Time | None = None
    metadata: Metadata | None = None


class QualityOut(BaseModel):
    """One crop of one person is expected in each image; nothing is searched for in it."""

    height: int
    width: int
    aspect: float = Field(description="height / width")
    blur: float = Field(description="variance of the Laplacian; lower is less sharp")
    flags: list[Literal["low", "blurred", "wide", "narrow"]] = Field(
        description="limits that the crop misses"
    )

    @classmethod
    def of(cls, quality: Quality) -> "QualityOut":
        return cls(
            height=quality.height,
            width=quality.width,
            aspect=round(quality.aspect, 3),
            blur=round(quality.blur, 1) if math.isfinite(quality.blur) else 0.0,
            flags=list(quality.flags),
        )


class ImageRefusal(BaseModel):
    type: str
    title: str
    detail: str


class EnrolledImage(BaseModel):
    filename: str | None = None
    image_id: str | None = None
    status: Literal["enrolled", "duplicate", "rejected"]
    quality: QualityOut | None = None
    error: ImageRefusal | None = None


class Enrolled(BaseModel):
    identity: str
    images: list[EnrolledImage]


class Paged(BaseModel):
    next_cursor: str | None = Field(description="for the next page; null on the last")


class IdentityOut(BaseModel):
    identity: str
    images: int
    cameras: list[str]


class Identities(Paged):
    identities: list[IdentityOut]


class ImageOut(BaseModel):
    image_id: str
    camera: str | None
    captured_at: datetime | None
    enrolled_at: datetime
    metadata: dict[str, Any] | None
    filename: str | None
    quality: dict[str, float] | None
    flagged: bool
    sha256: str = Field(description="of the uploaded file")
    media_type: str | None = Field(description="null: the picture itself is not kept")


class IdentityImages(Paged):
    identity: str
    images: list[ImageOut]


class RenameForm(Form):
    identity: IdentityName = Field(description="the new name; an identity of that name takes the images in")


class Renamed(BaseModel):
    identity: str
    images: int = Field(description="images that moved")
