"""Page cursors: opaque to the caller, and good for one kind of listing."""

import base64
import binascii

from index.errors import InvalidCursor


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


def check_limit(limit: int) -> int:
    if limit < 1:
        raise ValueError(f"limit is {limit}; expected at least 1")
    return limit
