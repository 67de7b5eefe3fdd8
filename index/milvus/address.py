"""Where a distributed gallery is: `milvus://host:port/name`, or `milvus+lite:///path.db` for tests."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import parse_qsl, urlsplit

from index.errors import GalleryError
from index.types import SearchMethod

SCHEMES = ("milvus", "milvus+lite")
INDEXES: tuple[SearchMethod, ...] = ("exact", "hnsw", "ivf")
_SERVER = re.compile(r"(?P<host>[^:\[\]]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_OPTIONS = frozenset({"database", "tls", "token_file", "pictures", "shards", "replicas", "index"})


@dataclass(frozen=True, slots=True)
class Address:
    """`name` begins the names of the gallery's collections. No secret is part of it: a token lies in a file."""

    uri: str  # as pymilvus takes it
    name: str
    lite: bool = False
    database: str = ""
    token_file: Path | None = None
    pictures: Path | None = None  # a folder that all who open the gallery share
    shards: int = 1
    replicas: int = 1
    index: SearchMethod | None = None

    @property
    def token(self) -> str:
        if self.token_file is None:
            return ""
        try:
            return self.token_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise GalleryError(
                f"the token file {self.token_file} cannot be read: {error.strerror}"
            ) from error

    def __str__(self) -> str:
        return f"{self.uri}/{self.name}"


def parse(uri: str) -> Address:
    """Raises GalleryError with the expected form."""
    parts = urlsplit(uri)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(options.keys() - _OPTIONS):
        raise GalleryError(
            f"{unknown[0]!r} is no option of a gallery URI; known are {', '.join(sorted(_OPTIONS))}"
        )
    if parts.scheme == "milvus+lite":
        return _lite(uri, parts.path, _path(options.get("pictures")))
    if parts.password or parts.username:
        raise GalleryError(
            "a gallery URI holds no password: put user:password into a file, and add ?token_file=PATH"
        )
    name, server = parts.path.strip("/"), _SERVER.fullmatch(parts.netloc)
    if not server or not _NAME.fullmatch(name):
        raise GalleryError(
            "a distributed gallery is milvus://host:port/name, the name of letters, digits and _, a letter first"
        )
    scheme = "https" if _choice("tls", options.get("tls", "false"), ("true", "false")) == "true" else "http"
    return Address(
        uri=f"{scheme}://{server['host']}:{server['port'] or 19530}",
        name=name,
        database=options.get("database", ""),
        token_file=_path(options.get("token_file")),
        pictures=_path(options.get("pictures")),
        shards=_number("shards", options.get("shards", "1")),
        replicas=_number("replicas", options.get("replicas", "1")),
        index=cast(SearchMethod, _choice("index", options["index"], INDEXES)) if "index" in options else None,
    )


def _lite(uri: str, path: str, pictures: Path | None) -> Address:
    """Three slashes before a relative path, four before an absolute one. It serves one process: it is for tests."""
    if not path.startswith("/") or not path.endswith(".db"):
        raise GalleryError(f"{uri!r} is not a Milvus Lite gallery; expected milvus+lite:///path.db")
    return Address(uri=path[1:], name="gallery", lite=True, pictures=pictures)


def _path(text: str | None) -> Path | None:
    return Path(text).absolute() if text else None


def _choice(option: str, text: str, choices: Sequence[str]) -> str:
    if text not in choices:
        raise GalleryError(f"{option} is {text!r}; expected {', '.join(choices)}")
    return text


def _number(option: str, text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise GalleryError(f"{option} is {text!r}; expected a number from 1 to 64")
    return int(text)
