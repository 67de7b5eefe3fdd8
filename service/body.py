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
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar, get_origin

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError

from service.multipart import Part, read_multipart, text_of
from service.problems import FieldError, InvalidFields, Kind, Problem, field_errors

IMAGES = "images"
_LARGE = 64 * 1024  # bytes of JSON that are not parsed on the event loop
_MARKS = (b",", b":", b"[", b"{")  # one comes with each value, and none is in base64
_MOST_MARKS = (
    50_000  # a megabyte of small values takes longer than twenty of pictures, and holds up every thread
)


class Form(BaseModel):
    model_config = ConfigDict(frozen=True)


F = TypeVar("F", bound=Form)


@dataclass(frozen=True, slots=True)
class Upload:
    data: bytes
    filename: str | None = None


@dataclass(frozen=True, slots=True)
class ImageCount:
    least: int
    most: int

    def __str__(self) -> str:
        return f"{self.least}" if self.least == self.most else f"{self.least} to {self.most}"


async def read_form(request: Request, form: type[F], count: ImageCount) -> tuple[F, list[Upload]]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    raw = kind.startswith("image/") and count.most > 0
    if request.query_params and not raw:
        raise InvalidFields(
            [FieldError(field=n, message="send it in the body") for n in request.query_params]
        )
    if kind == "multipart/form-data":
        parts = await read_multipart(request.headers["content-type"], request.stream(), count.most)
        values, uploads = _from_multipart(parts, form)
    elif kind == "application/json":
        body = await request.body()
        values, uploads = (
            await asyncio.to_thread(_from_json, body) if len(body) > _LARGE else _from_json(body)
        )
    elif raw:
        values = _text_values(request.query_params.multi_items(), form)
        uploads = [Upload(await request.body())]
    else:
        kinds = ["multipart/form-data", "application/json", *(["image/*"] if count.most else [])]
        text = f"send {' or '.join(kinds)}, not {kind or 'an untyped body'}"
        raise Problem(Kind.UNSUPPORTED_MEDIA_TYPE, text)
    return _validate(form, values, len(uploads), count), uploads


def _validate(form: type[F], values: Mapping[str, Any], images: int, count: ImageCount) -> F:
    errors = []
    if not count.least <= images <= count.most:
        errors.append(FieldError(field=IMAGES, message=f"{count} expected, {images} given"))
    unknown = islice((name for name in values if name not in form.model_fields), 5)
    known = ", ".join([IMAGES, *form.model_fields] if count.most else form.model_fields)
    errors.extend(FieldError(field=name, message=f"no such field; there are: {known}") for name in unknown)
    try:
        valid = form.model_validate({n: v for n, v in values.items() if n in form.model_fields})
    except ValidationError as error:
        errors.extend(field_errors(error.errors()))
    if errors:
        raise InvalidFields(errors)
    return valid


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
    if sum(map(body.count, _MARKS)) > _MOST_MARKS:
        raise Problem(Kind.INVALID_REQUEST, f"the body is JSON of more than {_MOST_MARKS:,} names and values")
    try:
        values = json.loads(body, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise Problem(Kind.INVALID_REQUEST, "the body is not JSON") from None
    if not isinstance(values, dict):
        raise Problem(Kind.INVALID_REQUEST, "the body is not a JSON object")
    images = values.pop(IMAGES, [])
    if not isinstance(images, list):
        raise InvalidFields([FieldError(field=IMAGES, message="expected an array of base64 strings")])
    return values, [Upload(_from_base64(image, position)) for position, image in enumerate(images)]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a name that stands twice in an object json.loads would drop the first value without a word."""
    values = dict(pairs)
    if len(values) < len(pairs):
        [(name, _)] = Counter(name for name, _ in pairs).most_common(1)
        raise InvalidFields([FieldError(field=name, message="given more than once")])
    return values


def _from_base64(text: Any, position: int) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError):
        error = FieldError(field=f"{IMAGES}.{position}", message="not base64")
        raise InvalidFields([error]) from None


def openapi_body(form: type[Form], count: ImageCount) -> dict[str, Any]:
    """What `read_form` takes, for the OpenAPI of a route."""
    schema = form.model_json_schema()
    fields, required = schema.get("properties", {}), schema.get("required", [])

    def content(item: dict[str, str], properties: dict[str, Any]) -> dict[str, Any]:
        images = {"type": "array", "items": item, "minItems": count.least, "maxItems": count.most}
        return {
            "schema": {
                "type": "object",
                "properties": ({IMAGES: images} if count.most else {}) | properties,
                "required": ([IMAGES] if count.least else []) + required,
                "additionalProperties": False,
            }
        }

    kinds = {
        "multipart/form-data": content(
            {"type": "string", "format": "binary"},
            {name: _in_a_form(field) for name, field in fields.items()},
        ),
        "application/json": content({"type": "string", "format": "byte", "description": "base64"}, fields),
    }
    text = "An empty field of a form counts as left out."
    if count.most:
        kinds["image/*"] = {"schema": {"type": "string", "format": "binary"}}
        text += " With image/* the body is the one image, and the other fields stand in the query string."
    return {"requestBody": {"required": True, "description": text, "content": kinds}}


def _in_a_form(field: dict[str, Any]) -> dict[str, Any]:
    """A form's fields are text: it knows no null (the field is left out), and an array of numbers is one text."""
    choice: dict[str, Any] = next((c for c in field.get("anyOf", []) if c != {"type": "null"}), field)
    if choice.get("items") == {"type": "number"}:
        choice = {"type": "string"}
    return choice | {name: value for name, value in field.items() if name not in (*choice, "anyOf", "items")}
