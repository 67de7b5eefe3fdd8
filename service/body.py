"""Reads a request's body into a form and its images, however it is sent.

    multipart/form-data   `images` as files, the other fields as text
    application/json      `images` as base64 strings, the other fields as they are
    image/*               the body is the one image, the other fields stand in the query string

Nothing is taken from a server path or fetched from an address. Field names that the form lacks are refused.
"""

import asyncio
import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_origin

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError

from service.multipart import Part, read_multipart, text_of
from service.problems import FieldError, InvalidFields, Kind, Problem, field_errors

IMAGES = "images"
_LARGE = 64 * 1024  # bytes of JSON that are not parsed on the event loop


class Form(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


F = TypeVar("F", bound=Form)


@dataclass(frozen=True, slots=True)
class Upload:
    data: bytes
    filename: str | None = None


@dataclass(frozen=True, slots=True)
class ImageCount:
    least: int
    most: int


async def read_form(request: Request, form: type[F], count: ImageCount) -> tuple[F, list[Upload]]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    raw = kind.startswith("image/")
    if request.query_params and not raw:
        raise InvalidFields(
            [FieldError(field=n, message="send it in the body") for n in request.query_params]
        )
    if kind == "multipart/form-data":
        parts = await read_multipart(request.headers["content-type"], request.stream(), count.most + 1)
        values, uploads = _from_multipart(parts, form)
    elif kind == "application/json":
        body = await request.body()
        values, uploads = (
            await asyncio.to_thread(_from_json, body) if len(body) > _LARGE else _from_json(body)
        )
    elif raw:
        values = _text_values(request.query_params.multi_items(), form)
        uploads = [Upload(await request.body())] if count.most else []
    else:
        text = f"send multipart/form-data, application/json or image/*, not {kind or 'an untyped body'}"
        raise Problem(Kind.UNSUPPORTED_MEDIA_TYPE, text)
    return _validate(form, values, len(uploads), count), uploads


def _validate(form: type[F], values: Mapping[str, Any], images: int, count: ImageCount) -> F:
    errors = []
    if not count.least <= images <= count.most:
        wanted = f"{count.least}" if count.least == count.most else f"{count.least} to {count.most}"
        errors.append(FieldError(field=IMAGES, message=f"{wanted} expected, {images} given"))
    try:
        valid = form.model_validate(values)
    except ValidationError as error:
        errors.extend(_with_known_names(field_errors(error.errors()), form))
    if errors:
        raise InvalidFields(errors)
    return valid


def _with_known_names(errors: list[FieldError], form: type[Form]) -> list[FieldError]:
    known = ", ".join([IMAGES, *form.model_fields])
    unknown = "Extra inputs are not permitted"
    return [
        FieldError(field=e.field, message=f"no such field; there are: {known}") if e.message == unknown else e
        for e in errors
    ]


def _from_multipart(parts: list[Part], form: type[Form]) -> tuple[dict[str, Any], list[Upload]]:
    uploads, texts = [], []
    for part in parts:
        if part.filename is None and part.name == IMAGES:
            raise InvalidFields([FieldError(field=IMAGES, message="expected files, got text")])
        if part.filename is None:
            texts.append((part.name, text_of(part)))
        elif part.name == IMAGES:
            uploads.append(Upload(bytes(part.data), part.filename or None))
        else:
            raise InvalidFields([FieldError(field=part.name, message=f"files are sent as `{IMAGES}`")])
    return _text_values(texts, form), uploads


def _text_values(items: list[tuple[str, str]], form: type[Form]) -> dict[str, Any]:
    """A field that holds several values may be repeated; any other one not. Empty text is no value."""
    values: dict[str, Any] = {}
    for name, value in items:
        if value == "":
            continue
        field = form.model_fields.get(name)
        if field is not None and get_origin(field.annotation) in (list, tuple, frozenset):
            values.setdefault(name, []).append(value)
        elif name in values:
            raise InvalidFields([FieldError(field=name, message="given more than once")])
        else:
            values[name] = value
    return values


def _from_json(body: bytes) -> tuple[dict[str, Any], list[Upload]]:
    try:
        values = json.loads(body)
    except (ValueError, RecursionError):
        raise Problem(Kind.INVALID_REQUEST, "the body is not JSON") from None
    if not isinstance(values, dict):
        raise Problem(Kind.INVALID_REQUEST, "the body is not a JSON object")
    images = values.pop(IMAGES, [])
    if not isinstance(images, list):
        raise InvalidFields([FieldError(field=IMAGES, message="expected an array of base64 strings")])
    return values, [Upload(_from_base64(image, position)) for position, image in enumerate(images)]


def _from_base64(text: Any, position: int) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        error = FieldError(field=f"{IMAGES}.{position}", message="not base64")
        raise InvalidFields([error]) from None


def openapi_body(form: type[Form], count: ImageCount) -> dict[str, Any]:
    """What `read_form` takes, for the OpenAPI of a route."""
    schema = form.model_json_schema()
    properties, required = schema.get("properties", {}), schema.get("required", [])

    def content(item: dict[str, str]) -> dict[str, Any]:
        if not count.most:
            fields, needed = properties, required
        else:
            images = {"type": "array", "items": item, "minItems": count.least, "maxItems": count.most}
            fields, needed = {IMAGES: images, **properties}, ([IMAGES] if count.least else []) + required
        return {
            "schema": {
                "type": "object",
                "properties": fields,
                "required": needed,
                "additionalProperties": False,
            }
        }

    kinds = {
        "multipart/form-data": content({"type": "string", "format": "binary"}),
        "application/json": content({"type": "string", "format": "byte", "description": "base64"}),
    }
    if count.most:
        kinds["image/*"] = {"schema": {"type": "string", "format": "binary"}}
    return {"requestBody": {"required": True, "content": kinds}}
