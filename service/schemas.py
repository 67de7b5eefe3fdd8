"""What the gallery's routes take and give."""

import json
import math
import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from service.body import Form
from service.identity import MAX_LENGTH, IdentityName, check_name
from service.quality import Quality

_MAX_METADATA_BYTES = 16 * 1024


def _in_utc(time: datetime) -> datetime:
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC it is not within the years 1 to 9999") from None


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


def _object(value: Any) -> Any:
    if not isinstance(value, dict | None):
        raise ValueError("expected a JSON object")
    return value


def bounded_json(value: dict[str, Any]) -> dict[str, Any]:
    try:
        size = len(json.dumps(value, allow_nan=False).encode())
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("half of a surrogate pair is no text") from None
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
Camera = Annotated[
    str,
    AfterValidator(check_name),
    Field(description="the camera's name", json_schema_extra={"minLength": 1, "maxLength": MAX_LENGTH}),
]
JsonObject = Annotated[
    dict[str, Any],
    BeforeValidator(_object),
    BeforeValidator(from_json_text),  # comes first
    AfterValidator(bounded_json),
]
Metadata = Annotated[JsonObject, Field(description="a JSON object of your own")]


def _prefix(value: str) -> str:
    text = unicodedata.normalize("NFC", value)
    if any(unicodedata.category(character) == "Cs" for character in text):
        raise ValueError("half of a surrogate pair is no text")
    if len(text) > MAX_LENGTH:
        raise ValueError(f"must have at most {MAX_LENGTH} characters, not {len(text)}")
    return text


Prefix = Annotated[str, AfterValidator(_prefix), Field(json_schema_extra={"maxLength": MAX_LENGTH})]


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
