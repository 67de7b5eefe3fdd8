"""Who may do what: an API key as `X-API-Key` or `Authorization: Bearer`, or no key on an open loopback."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from fastapi import Depends, Request, Security
from fastapi.params import Depends as DependsParam
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer

from service.keys import KeyStore, Scope
from service.problems import Kind, Problem
from service.settings import Auth, Settings, is_loopback

log = logging.getLogger("dgrl.service")

_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="a key from `dgrl keys create`")
_BEARER = HTTPBearer(auto_error=False, description="the same key as a bearer token")


class NoKeys(RuntimeError):
    """The service would listen beyond loopback and nobody has a key."""


@dataclass(frozen=True, slots=True)
class Caller:
    key_id: str | None  # None: the service runs open
    scope: Scope
    name: str = ""

    @property
    def actor(self) -> str:
        """As the audit log knows the caller. Names of keys need not be unique."""
        return "open" if self.key_id is None else f"{self.name} ({self.key_id})"


class Gate:
    """Runs open only on loopback and only while no file of keys exists; once closed it stays closed."""

    def __init__(self, settings: Settings, store: KeyStore) -> None:
        self._may_open = settings.auth is Auth.OPEN or (
            settings.auth is Auth.AUTO and is_loopback(settings.host)
        )
        self._always_open = settings.auth is Auth.OPEN
        self._store = store

    @property
    def open(self) -> bool:
        if self._may_open and not self._always_open and self._store.exists():
            self._may_open = False
        return self._may_open

    def first_key(self) -> str | None:
        """Before the first request: a new admin key to show once, where one is needed and none was made."""
        if self.open:
            return None
        if not self._store.exists():
            return self._store.create("first start", Scope.ADMIN)
        if not self._store.list():
            raise NoKeys(f"{self._store.path} holds no API key: make one with `dgrl keys create`")
        return None

    def admit(self, request: Request, presented: str | None) -> Caller:
        if self.open:
            _refuse_other_sites(request)
            return Caller(None, Scope.ADMIN)
        key = self._store.verify(presented) if presented else None
        if key is None:
            text = "the API key is not valid" if presented else "send an API key as X-API-Key or bearer token"
            raise Problem(Kind.UNAUTHENTICATED, text, headers={"WWW-Authenticate": "Bearer"})
        return Caller(key.id, key.scope, key.name)


def require(scope: Scope) -> DependsParam:
    return DependsParam(_CHECKS[scope])


async def _presented(
    header: Annotated[str | None, Security(_HEADER)],
    bearer: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)],
) -> str | None:
    return header or (bearer.credentials if bearer else None)


Presented = Annotated[str | None, Depends(_presented)]


def _check(scope: Scope) -> Callable[[Request, str | None], Awaitable[Caller]]:
    async def check(request: Request, presented: Presented) -> Caller:
        gate: Gate = request.app.state.services.gate
        caller = gate.admit(request, presented)
        request.state.key_id = caller.key_id
        if not caller.scope.includes(scope):
            text = f"this needs a key with scope {scope}; this key has {caller.scope}"
            raise Problem(Kind.FORBIDDEN, text)
        return caller

    return check


_CHECKS = {scope: _check(scope) for scope in Scope}


def _refuse_other_sites(request: Request) -> None:
    """An open service on loopback must not serve a web page from elsewhere that the user happens to visit."""
    host = request.headers.get("host", "")
    if not is_loopback(_split(f"//{host}").hostname or ""):
        raise Problem(Kind.FORBIDDEN, "without API keys the service answers to loopback names only")
    origin = request.headers.get("origin")
    if origin is not None and _split(origin).netloc != host:
        raise Problem(Kind.FORBIDDEN, "without API keys the service answers no other web site")


def _split(address: str) -> SplitResult:
    try:
        return urlsplit(address)
    except ValueError:
        raise Problem(Kind.INVALID_REQUEST, "Host or Origin is no address") from None
