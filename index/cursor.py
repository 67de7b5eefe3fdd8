"""Page cursors: opaque to the caller, and good for one kind of listing."""

import base64
import binascii

from index.errors import InvalidCursor

_TOO_GREAT = 2**63


def write_cursor(kind: str, last: str) -> str:
    return base64.urlsafe_b64encode(f"{kind}:{last}".encode()).decode()


def read_cursor(kind: str, cursor: str | None) -> str | None:
    """The last entry of the page before; None at the start."""
    if cursor is None:
        return None
    try:
        found, _, last = base64.b64decode(cursor.encode(), b"-_", validate=True).decode().partition(":")
    except (binascii.Error, UnicodeError) as error:
        raise InvalidCursor(f"{cursor!r} is not a cursor of this gallery") from error
    if found != kind:
        raise InvalidCursor(f"{cursor!r} is not a cursor of this listing")
    return last


def read_number(kind: str, cursor: str | None, start: int = 0) -> int:
    """The number of the last entry of the page before; `start` at the start. Of a listing in order of numbers."""
    last = read_cursor(kind, cursor)
    if last is None:
        return start
    number = int(last) if last.isascii() and last.isdecimal() and len(last) < 20 else _TOO_GREAT
    if number >= _TOO_GREAT:
        raise InvalidCursor(f"{cursor!r} is not a cursor of this listing")
    return number


def check_limit(limit: int) -> int:
    if limit < 1:
        raise ValueError(f"limit is {limit}; expected at least 1")
    return limit
