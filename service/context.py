"""What belongs to the request being answered: its id, for the log and for the answer."""

import re
import secrets
from contextvars import ContextVar

_REQUEST_ID: ContextVar[str | None] = ContextVar("request_id", default=None)
_ACCEPTED = re.compile(r"[A-Za-z0-9._-]{1,64}")


def request_id() -> str | None:
    return _REQUEST_ID.get()


def begin(offered: str | None) -> str:
    """Takes the caller's X-Request-ID where it is harmless in a log, else makes one."""
    value = offered if offered and _ACCEPTED.fullmatch(offered) else secrets.token_hex(8)
    _REQUEST_ID.set(value)
    return value
