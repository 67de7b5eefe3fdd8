"""RFC 9457 problem details: the closed set of what can go wrong, each kind mapped once to a status code."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from enum import Enum
from http import HTTPStatus
from typing import Any, Self

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from index.errors import (
    GalleryUnavailable,
    IncompleteReembedding,
    InvalidCursor,
    InvalidEnrolment,
    NotOffered,
    ReembeddingUnderWay,
    StorageFull,
    UnknownIdentity,
    UnknownImage,
    WrongBundle,
)
from model.bundle.preprocessing import TooManyPixels, TooSmall, Undecodable, UnsupportedFormat
from service.context import request_id

log = logging.getLogger("dgrl.service")
MEDIA_TYPE = "application/problem+json"
_MOST_TOLD = 20  # wrong fields in an answer
_MOST_SHOWN = 64  # characters of a wrong field's name
_IN_THE_LOG = "the reason is in the service's log under this request id"
_FULL = "the disk that holds the gallery is full: nothing of this was stored; free some space"


class Kind(Enum):
    """name = (type, status, title)"""

    INVALID_REQUEST = ("invalid-request", 400, "The request is malformed")
    UNAUTHENTICATED = ("unauthenticated", 401, "A valid API key is needed")
    FORBIDDEN = ("forbidden", 403, "This is not allowed")
    NOT_FOUND = ("not-found", 404, "There is nothing at this address")
    UNKNOWN_IDENTITY = ("unknown-identity", 404, "The gallery has no such identity")
    UNKNOWN_IMAGE = ("unknown-image", 404, "The identity has no such image")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "The address does not take this method")
    BUNDLE_MISMATCH = ("bundle-mismatch", 409, "The vectors belong to another bundle")
    NO_REEMBEDDING = ("no-reembedding", 404, "No re-embedding is under way")
    NO_NEXT_BUNDLE = ("no-next-bundle", 409, "There is no other bundle to move to")
    REEMBEDDING_UNDER_WAY = ("reembedding-under-way", 409, "A re-embedding to another bundle is under way")
    REEMBEDDING_INCOMPLETE = ("reembedding-incomplete", 409, "Images lack a vector of the new bundle")
    NOT_OFFERED = ("not-offered", 409, "The gallery's engine does not offer this")
    BODY_TOO_LARGE = ("body-too-large", 413, "The request body is too large")
    UNSUPPORTED_MEDIA_TYPE = ("unsupported-media-type", 415, "This kind of content is not accepted")
    INVALID_FIELDS = ("invalid-fields", 422, "Some fields are wrong")
    IMAGE_UNDECODABLE = ("image-undecodable", 422, "An image cannot be decoded")
    IMAGE_TOO_SMALL = ("image-too-small", 422, "An image is too small")
    IMAGE_TOO_MANY_PIXELS = ("image-too-many-pixels", 422, "An image has too many pixels")
    NOTHING_ENROLLED = ("nothing-enrolled", 422, "None of the images could be enrolled")
    QUEUE_FULL = ("queue-full", 429, "The service is at its limit")
    INTERNAL_ERROR = ("internal-error", 500, "The service failed")
    UNAVAILABLE = ("unavailable", 503, "The service cannot answer now")
    DEADLINE_EXCEEDED = ("deadline-exceeded", 504, "The answer would come too late")
    STORAGE_FULL = ("storage-full", 507, "The gallery has no room left")

    def __init__(self, slug: str, status: int, title: str) -> None:
        self.type = f"urn:dgrl:problem:{slug}"
        self.status = status
        self.title = title


class FieldError(BaseModel):
    field: str
    message: str


class ProblemDetails(BaseModel):
    """RFC 9457; a kind may add members of its own, such as `errors` or `images`."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="one of: " + ", ".join(kind.type for kind in Kind))
    title: str
    status: int
    detail: str
    request_id: str | None = Field(None, description="as in the X-Request-ID header and the log")
    errors: list[FieldError] | None = Field(
        None, description="with invalid-fields: what is wrong, field by field"
    )


class Problem(Exception):
    """Raised anywhere below a route; answered as problem+json."""

    def __init__(
        self, kind: Kind, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    @classmethod
    def from_error(cls, error: Exception) -> Self:
        """The caller's mistakes are told in the error's words; failures here only in the log, with their paths."""
        kind = kind_of(error)
        if kind is Kind.STORAGE_FULL:
            return cls(kind, _FULL)
        return cls(kind, _IN_THE_LOG if kind.status >= 500 else str(error.args[0] if error.args else error))

    def body(self) -> dict[str, Any]:
        kind = self.kind
        details = {"type": kind.type, "title": kind.title, "status": kind.status, "detail": self.detail}
        return details | {"request_id": request_id()} | self.members

    def response(self) -> JSONResponse:
        return JSONResponse(self.body(), self.kind.status, self.headers, media_type=MEDIA_TYPE)


class Unexpected(Problem):
    def __init__(self) -> None:
        super().__init__(Kind.INTERNAL_ERROR, _IN_THE_LOG)


class InvalidFields(Problem):
    """Of very many mistakes the first few are told: the answer must not outgrow the request."""

    def __init__(self, errors: list[FieldError]) -> None:
        told = [FieldError(field=e.field[:_MOST_SHOWN], message=e.message) for e in errors[:_MOST_TOLD]]
        detail = "; ".join(f"{e.field}: {e.message}" for e in told[:5])
        super().__init__(Kind.INVALID_FIELDS, detail, errors=[e.model_dump() for e in told])


KINDS_OF_ERRORS: dict[type[Exception], Kind] = {
    UnsupportedFormat: Kind.UNSUPPORTED_MEDIA_TYPE,
    Undecodable: Kind.IMAGE_UNDECODABLE,
    TooSmall: Kind.IMAGE_TOO_SMALL,
    TooManyPixels: Kind.IMAGE_TOO_MANY_PIXELS,
    UnknownIdentity: Kind.UNKNOWN_IDENTITY,
    UnknownImage: Kind.UNKNOWN_IMAGE,
    InvalidEnrolment: Kind.INVALID_FIELDS,
    WrongBundle: Kind.BUNDLE_MISMATCH,
    ReembeddingUnderWay: Kind.REEMBEDDING_UNDER_WAY,
    IncompleteReembedding: Kind.REEMBEDDING_INCOMPLETE,
    NotOffered: Kind.NOT_OFFERED,
    GalleryUnavailable: Kind.UNAVAILABLE,
    StorageFull: Kind.STORAGE_FULL,
}


def kind_of(error: Exception) -> Kind:
    """By the error's class or the nearest one that it derives from."""
    return KINDS_OF_ERRORS[next(c for c in type(error).__mro__ if c in KINDS_OF_ERRORS)]


_KINDS_OF_STATUSES = {
    404: Kind.NOT_FOUND,
    405: Kind.METHOD_NOT_ALLOWED,
}

Handler = Callable[[Request, Any], Awaitable[JSONResponse]]


def install(app: FastAPI, methods: Callable[[str], list[str]]) -> None:
    """`methods`: those that a path takes."""

    async def problem(_: Request, error: Problem) -> JSONResponse:
        return error.response()

    async def known(_: Request, error: Exception) -> JSONResponse:
        answer = Problem.from_error(error)
        if answer.kind.status >= 500:
            full = answer.kind is Kind.STORAGE_FULL  # whose place in the code tells an operator nothing
            log.error("%s: %s", answer.kind.title, error, exc_info=None if full else error)
        return answer.response()

    async def cursor(_: Request, __: InvalidCursor) -> JSONResponse:
        text = "not of this listing: send `next_cursor` of the page before as it came"
        return InvalidFields([FieldError(field="cursor", message=text)]).response()

    async def http(request: Request, error: HTTPException) -> JSONResponse:
        kind = _KINDS_OF_STATUSES.get(error.status_code, Kind.INVALID_REQUEST)
        detail = kind.title if error.detail == HTTPStatus(error.status_code).phrase else error.detail
        headers = dict(error.headers or {})
        if kind is Kind.METHOD_NOT_ALLOWED:  # Starlette names those of one route, and an address has several
            headers["Allow"] = ", ".join(methods(request.scope["path"]))
        return Problem(kind, detail, headers=headers).response()

    async def validation(_: Request, error: RequestValidationError) -> JSONResponse:
        return InvalidFields(field_errors(error.errors())).response()

    async def disconnected(_: Request, __: ClientDisconnect) -> JSONResponse:
        return Problem(Kind.INVALID_REQUEST, "the request body ended early").response()

    handlers: dict[type[Exception], Handler] = {
        Problem: problem,
        HTTPException: http,
        InvalidCursor: cursor,
        RequestValidationError: validation,
        ClientDisconnect: disconnected,
        **dict.fromkeys(KINDS_OF_ERRORS, known),
    }
    for error, handler in handlers.items():
        app.add_exception_handler(error, handler)


def field_errors(errors: Any) -> list[FieldError]:
    """Pydantic's errors without the offending input, which may be long or private."""
    places = {"query", "path", "body", "header"}
    found = []
    for error in errors:
        parts = [str(part) for part in error["loc"] if part not in places]
        message = str(error["msg"]).removeprefix("Value error, ")
        found.append(FieldError(field=".".join(parts) or "body", message=message))
    return found


def responses(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """For the OpenAPI of a route: which problems it may answer with, beside those that every route may."""
    by_status: dict[int | str, list[Kind]] = {}
    for kind in kinds:
        by_status.setdefault(kind.status, []).append(kind)
    schema = {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}
    return {
        status: {"description": "; ".join(k.title for k in same), "content": {MEDIA_TYPE: schema}}
        for status, same in sorted(by_status.items(), key=lambda item: int(item[0]))
    }
