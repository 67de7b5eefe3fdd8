"""What may be the name of an identity or a camera: any text a person can read, and never a file name."""

import unicodedata
from typing import Annotated
from urllib.parse import unquote

from pydantic import AfterValidator, Field

MAX_LENGTH = 128  # 512 bytes at most, which every gallery engine can store
_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_REFUSED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})


def check_name(text: str) -> str:
    """The text in Unicode's composed form (NFC), so that two spellings of one name are one."""
    name = unicodedata.normalize("NFC", text)
    if not name:
        raise ValueError("must have at least one character")
    if len(name) > MAX_LENGTH:
        raise ValueError(f"must have at most {MAX_LENGTH} characters, not {len(name)}")
    if name != name.strip():
        raise ValueError("must neither start nor end with a space")
    if name in (".", ".."):
        raise ValueError("must not be '.' or '..', which cannot be part of an address")
    for character in name:
        if unicodedata.category(character) in _REFUSED_CATEGORIES or character in _BIDI_CONTROLS:
            raise ValueError(f"must not have control characters (U+{ord(character):04X})")
    return name


IdentityName = Annotated[
    str,
    AfterValidator(check_name),
    Field(
        description=f"1 to {MAX_LENGTH} characters, no control characters; made NFC",
        json_schema_extra={"minLength": 1, "maxLength": MAX_LENGTH},
    ),
]


def from_segment(segment: str) -> str:
    """From the still percent-encoded path segment; see `paths.KeepSlashes`."""
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("the address is not UTF-8") from None
