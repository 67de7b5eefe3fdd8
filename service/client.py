"""A small client: the HTTP interface with every page of a listing, and retries when the service is busy."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar
from urllib.parse import quote

import httpx

from service.schemas import Enrolled, Identities, IdentityImages, IdentityOut, ImageOut, Paged, Renamed
from service.schemas_audit import AuditEntry, AuditPage
from service.schemas_query import EmbedAnswer, QueryAnswer, VerifyAnswer
from service.schemas_reembedding import MissingImage, MissingImages, ReembeddingState

Source = Path | str | bytes  # a file, or what is in one
PAGE = "1000"  # entries, the most that the service gives at once
_LONGEST_WAIT_S = 30.0
P = TypeVar("P", bound=Paged)
_BUSY = frozenset({429, 503})


class ServiceError(RuntimeError):
    """The service refused; `problem` is its problem+json."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(f"{problem.get('title', 'refused')} ({status}): {problem.get('detail', '')}")
        self.status = status
        self.problem = problem


class Client:
    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        key: str | None = None,
        *,
        timeout: float = 60,
        retries: int = 5,
    ) -> None:
        headers = {"X-API-Key": key} if key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout)
        self._retries = retries

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._http.close()

    def enrol(self, identity: str, images: Sequence[Source], **fields: Any) -> Enrolled:
        """`fields`: camera, captured_at (ISO 8601), metadata (a dict, or JSON)."""
        answer = self._post("/gallery", images, {"identity": identity, **fields})
        return Enrolled.model_validate_json(answer)

    def query(self, images: Sequence[Source], **fields: Any) -> QueryAnswer:
        return QueryAnswer.model_validate_json(self._post("/query", images, fields))

    def embed(self, images: Sequence[Source], **fields: Any) -> EmbedAnswer:
        return EmbedAnswer.model_validate_json(self._post("/embed", images, fields))

    def verify(self, images: Sequence[Source], **fields: Any) -> VerifyAnswer:
        """Two images; or one and `identity`; or none, `embedding` (with its `bundle`) and `identity`."""
        return VerifyAnswer.model_validate_json(self._post("/verify", images, fields))

    def identities(self, prefix: str = "") -> Iterator[IdentityOut]:
        """All of them, page by page."""
        for page in self._pages(Identities, "/gallery", {"prefix": prefix, "limit": PAGE}):
            yield from page.identities

    def images(self, identity: str) -> Iterator[ImageOut]:
        """All of them, page by page."""
        for page in self._pages(IdentityImages, _address(identity), {"limit": PAGE}):
            yield from page.images

    def audit(self) -> Iterator[AuditEntry]:
        """The whole audit log, page by page, from the oldest line to the newest."""
        for page in self._pages(AuditPage, "/audit", {"limit": PAGE}):
            yield from page.lines

    def picture(self, identity: str, image_id: str) -> bytes:
        return self._get(f"{_address(identity)}/images/{quote(image_id, safe='')}", {})

    def rename(self, identity: str, new: str) -> Renamed:
        answer = self._send("PATCH", _address(identity), json={"identity": new})
        return Renamed.model_validate_json(answer)

    def remove(self, identity: str, image_id: str | None = None) -> None:
        address = _address(identity)
        self._send("DELETE", address if image_id is None else f"{address}/images/{quote(image_id, safe='')}")

    def reembedding(self) -> ReembeddingState:
        return ReembeddingState.model_validate_json(self._get("/reembedding", {}))

    def begin_reembedding(self) -> ReembeddingState:
        return ReembeddingState.model_validate_json(self._send("POST", "/reembedding"))

    def missing(self) -> Iterator[MissingImage]:
        """What must be enrolled again; all of it, page by page."""
        for page in self._pages(MissingImages, "/reembedding/missing", {"limit": PAGE}):
            yield from page.images

    def switch(self, *, forget_missing: bool = False) -> ReembeddingState:
        params = {"forget_missing": forget_missing}
        return ReembeddingState.model_validate_json(self._send("POST", "/reembedding/switch", params=params))

    def give_up_reembedding(self) -> None:
        self._send("DELETE", "/reembedding")

    def model(self) -> dict[str, Any]:
        return dict(json.loads(self._get("/model", {})))

    def _pages(self, kind: type[P], path: str, params: Mapping[str, str]) -> Iterator[P]:
        asked = dict(params)
        while True:
            page = kind.model_validate_json(self._get(path, asked))
            yield page
            if page.next_cursor is None:
                return
            asked["cursor"] = page.next_cursor

    def _get(self, path: str, params: dict[str, str]) -> bytes:
        return self._send("GET", path, params=params)

    def _post(self, path: str, images: Sequence[Source], fields: dict[str, Any]) -> bytes:
        if not images:  # a form without files would not be multipart
            return self._send("POST", path, json=fields)
        data = {
            name: json.dumps(value) if isinstance(value, dict) else value for name, value in fields.items()
        }
        with ExitStack() as stack:
            files: list[tuple[str, tuple[str, BinaryIO | bytes]]] = []
            for number, source in enumerate(images):
                if isinstance(source, bytes):
                    files.append(("images", (f"{number}", source)))
                else:
                    file = stack.enter_context(Path(source).open("rb"))
                    files.append(("images", (_readable(Path(source).name), file)))
            return self._send("POST", path, files=files, data=data)

    def _send(self, method: str, path: str, **content: Any) -> bytes:
        for attempt in range(self._retries + 1):
            response = self._http.request(method, path, **content)
            if response.status_code not in _BUSY or attempt == self._retries:
                break
            time.sleep(pause(response.headers.get("retry-after", ""), attempt))
        if response.is_success:
            return response.content
        raise ServiceError(response.status_code, _problem(response))


def pause(told: str, attempt: int) -> float:
    """Seconds. A proxy in between may tell a date instead, or an hour."""
    return min(float(told) if told.isdecimal() else 2**attempt / 4, _LONGEST_WAIT_S)


def _problem(response: httpx.Response) -> dict[str, Any]:
    if "json" in response.headers.get("content-type", ""):
        return dict(response.json())
    return {"title": response.reason_phrase, "detail": response.text[:200]}


def _readable(name: str) -> str:
    """File systems allow names that are no text."""
    return name.encode("utf-8", "replace").decode()


def _address(identity: str) -> str:
    return f"/gallery/{quote(identity, safe='')}"
