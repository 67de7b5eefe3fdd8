"""The API keys: random, shown once, kept as hashes in a file that only its owner may read.

A key is `dgrl_<id>_<secret>`. The secret has 256 random bits, so that one SHA-256 is stretching enough.
"""

import hashlib
import hmac
import os
import re
import secrets
import tempfile
import threading
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

_FORM = re.compile(r"dgrl_([0-9a-f]{8})_([0-9a-f]{64})")


class Scope(StrEnum):
    """Each includes those before it."""

    READ = "read"
    ENROL = "enrol"
    ADMIN = "admin"

    def includes(self, other: "Scope") -> bool:
        order = list(Scope)
        return order.index(self) >= order.index(other)


class KeysError(ValueError):
    """The file of keys is damaged or cannot be read or written; the message names it."""


class Key(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str
    scope: Scope
    sha256: str
    created: datetime


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[1] = 1
    keys: tuple[Key, ...] = ()


class KeyStore:
    """Sees at once what another process changed in the file: a revoked key is refused from then on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, Key] = {}

    def exists(self) -> bool:
        return self.path.exists()

    def list(self) -> list[Key]:
        with self._lock:
            self._refresh()
            return list(self._keys.values())

    def create(self, name: str, scope: Scope) -> str:
        """The new key, which nothing can show again."""
        key_id, secret = secrets.token_hex(4), secrets.token_hex(32)
        key = Key(id=key_id, name=name, scope=scope, sha256=_digest(secret), created=datetime.now(UTC))
        with self._lock:
            self._refresh()
            self._write({**self._keys, key_id: key})
        return f"dgrl_{key_id}_{secret}"

    def revoke(self, key_id: str) -> bool:
        with self._lock:
            self._refresh()
            kept = {k: v for k, v in self._keys.items() if k != key_id}
            if len(kept) == len(self._keys):
                return False
            self._write(kept)
            return True

    def verify(self, presented: str) -> Key | None:
        """The key, compared in a time that does not depend on how much of it is right."""
        form = _FORM.fullmatch(presented)
        key_id, secret = form.groups() if form else ("", presented)
        with self._lock:
            self._refresh()
            key = self._keys.get(key_id)
        expected = key.sha256 if key else _digest("no such key")
        return key if hmac.compare_digest(_digest(secret), expected) and key else None

    def _refresh(self) -> None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._seen, self._keys = None, {}
            return
        except OSError as error:
            raise KeysError(f"the key file {self.path} cannot be read: {error.strerror}") from error
        seen = (status.st_mtime_ns, status.st_ino, status.st_size)
        if seen != self._seen:
            self._keys = {key.id: key for key in _read(self.path).keys}
            self._seen = seen

    def _write(self, keys: dict[str, Key]) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _replace(self.path, _File(keys=tuple(keys.values())).model_dump_json(indent=2))
        except OSError as error:
            raise KeysError(f"the key file {self.path} cannot be written: {error.strerror}") from error
        self._keys, self._seen = keys, None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _read(path: Path) -> _File:
    try:
        return _File.model_validate_json(path.read_bytes())
    except OSError as error:
        raise KeysError(f"the key file {path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise KeysError(f"the key file {path} is damaged") from error


def _replace(path: Path, text: str) -> None:
    """Writes beside, flushes to the disk and renames; mode 0600 from the first byte."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
