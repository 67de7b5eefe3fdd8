"""Every setting of the service, read from `DGRL_*` environment variables or given as keywords."""

import difflib
import os
import re
from datetime import timedelta
from enum import StrEnum
from importlib.resources import files
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from index.types import SearchMethod
from model.bundle.session import Precision, Provider
from service.limits import BodyLimits

PREFIX = "DGRL_"
CLIENT_VARIABLES = frozenset({"DGRL_URL", "DGRL_KEY"})  # read by the client commands, not by the server

MIB = 1024 * 1024
_PASSWORD = re.compile(r"(?<=://)[^/@]*@")
_BODIES = 32  # of the largest size may be in memory together


class Auth(StrEnum):
    AUTO = "auto"
    KEYS = "keys"
    OPEN = "open"


class SettingsError(ValueError):
    """Settings that the service will not run with; the text is one sentence for the person who set them."""


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    bundle: Path = Field(
        default_factory=lambda: Path(str(files("model"))) / "bundles" / "market1501",
        description="folder of the model bundle",
    )
    next_bundle: Path | None = Field(
        None, description="folder of the bundle that `dgrl reembed` moves the gallery to"
    )
    data_dir: Path = Field(Path("data"), description="folder of the gallery and the API keys")
    gallery: str | None = Field(
        None,
        description="URI, sqlite:///path or milvus://host:port/name; by default sqlite:///<data_dir>/gallery.db",
    )
    keep_images: bool = Field(True, description="store the enrolled originals, with their EXIF data")
    retention_days: float | None = Field(
        None, gt=0, le=36_500, description="days after which an enrolled image is deleted; by default never"
    )
    search: SearchMethod = Field(
        "exact",
        description="exact; from 10,000 images on also hnsw or ivf (approximate), or gpu (a copy on a GPU)",
    )

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    auth: Auth = Field(
        Auth.AUTO,
        description="auto: open on loopback while no key exists, keys elsewhere; keys; open (loopback only)",
    )
    keys_file: Path | None = Field(
        None, description="file of hashed API keys; by default <data_dir>/keys.json"
    )
    metrics_open: bool = Field(False, description="answer /metrics without a key")

    provider: Provider = Field(Provider.AUTO, description="onnxruntime provider; a named one must be granted")
    precision: Precision = Field(
        Precision.AUTO,
        description="compute precision; auto takes bfloat16 (CPU) or TF32 (CUDA) where it is native",
    )
    gpu_memory_mib: int | None = Field(
        None, ge=64, description="GPU memory of one session; by default no limit"
    )
    threads: int = Field(0, ge=0, le=1024, description="threads of one inference; 0 for all cores")
    lanes: int = Field(1, ge=1, le=16, description="inferences that run at the same time")
    max_batch: int = Field(8, ge=1, le=256, description="most images in one inference")
    queue_images: int = Field(256, ge=1, le=100_000, description="images in work or waiting before 429")
    deadline_s: float = Field(
        30, gt=0, le=3600, description="seconds from a request's arrival, all of it, to 504"
    )
    decode_threads: int = Field(
        0, ge=0, le=256, description="threads that decode and resize; 0 for all cores"
    )
    check_memory: bool = Field(True, description="refuse to start when the bundle would not fit in memory")

    max_body_bytes: int = Field(20 * MIB, ge=1024, le=1024 * MIB, description="largest request body")
    body_timeout_s: float = Field(
        60, gt=0, le=3600, description="seconds a request's head, and then its body, may take to arrive"
    )
    max_images: int = Field(64, ge=1, le=10_000, description="most images in one request")
    max_pixels: int = Field(16_777_216, ge=4096, le=200_000_000, description="most pixels of one image")
    min_height: int = Field(16, ge=1, description="images lower than this are refused")
    min_width: int = Field(8, ge=1, description="images narrower than this are refused")

    flag_height: int | None = Field(
        None,
        ge=1,
        description="gallery images lower than this are flagged; by default half the HR reference height",
    )
    flag_blur: float = Field(
        60, ge=0, description="gallery images with a lower variance of the Laplacian are flagged"
    )
    flag_aspect_min: float = Field(
        1.2, gt=0, description="gallery images with a lower height / width are flagged"
    )
    flag_aspect_max: float = Field(
        5, gt=0, description="gallery images with a higher height / width are flagged"
    )

    top_k: int = Field(10, ge=1, description="identities in an answer when the request names no number")
    max_top_k: int = Field(1000, ge=1, le=100_000, description="most identities that a request may ask for")
    match_far: float = Field(
        1e-3,
        gt=0,
        lt=1,
        description="false-accept rate at which `match` decides; one that the bundle is calibrated for",
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="least severe line logged"
    )
    log_format: Literal["auto", "json", "text"] = Field(
        "auto", description="json: one object a line; text: for reading; auto: text on a terminal, else json"
    )

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if self.auth is Auth.OPEN and not is_loopback(self.host):
            raise ValueError(f"auth=open is for loopback only, and host is {self.host}")
        if self.max_images > self.queue_images:
            raise ValueError(
                "queue_images must be at least max_images, or a full request could never be admitted"
            )
        if self.top_k > self.max_top_k:
            raise ValueError("top_k must be at most max_top_k")
        if self.flag_aspect_min >= self.flag_aspect_max:
            raise ValueError("flag_aspect_min must be below flag_aspect_max")
        if self.min_height * self.min_width > self.max_pixels:
            raise ValueError("min_height x min_width must be at most max_pixels")
        return self

    @property
    def gallery_uri(self) -> str:
        return self.gallery or f"sqlite:///{(self.data_dir / 'gallery.db').absolute()}"

    @property
    def retention(self) -> timedelta | None:
        return None if self.retention_days is None else timedelta(days=self.retention_days)

    @property
    def keys_path(self) -> Path:
        return self.keys_file or self.data_dir / "keys.json"

    @property
    def body_limits(self) -> BodyLimits:
        return BodyLimits(self.max_body_bytes, _BODIES * self.max_body_bytes, self.body_timeout_s)

    def overrides(self) -> dict[str, Any]:
        """The settings that differ from their defaults, as JSON values to show: without a password."""
        default = type(self).model_construct()
        changed = {
            name: value
            for name, value in self.model_dump(mode="json").items()
            if getattr(self, name) != getattr(default, name)
        }
        if "gallery" in changed:
            changed["gallery"] = _PASSWORD.sub("***@", changed["gallery"])
        return changed


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment and `overrides` (which win; None counts as not given).

    A `DGRL_` variable that names no setting is refused: a misspelt limit or key setting must not pass unseen.
    """
    names = Settings.model_fields
    for variable in os.environ:
        if not variable.upper().startswith(PREFIX) or variable in CLIENT_VARIABLES:
            continue
        name = variable[len(PREFIX) :].lower()
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {PREFIX}{near[0].upper()}?" if near else ""
            raise SettingsError(f"{variable} is not a setting{hint}")
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise SettingsError("; ".join(_sentence(e) for e in error.errors())) from error


def _sentence(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{PREFIX}{where.upper()}: {message}" if where else message


def describe() -> list[str]:
    """One line for each setting: its variable, default and meaning."""
    default = Settings.model_construct()
    lines = []
    for name, field in Settings.model_fields.items():
        value = getattr(default, name)
        lines.append(f"{PREFIX}{name.upper()}={'' if value is None else value}  {field.description}")
    return lines
