"""What the routes about the service itself give."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from model.bundle.manifest import Manifest


class Alive(BaseModel):
    status: Literal["alive"] = "alive"


class Check(BaseModel):
    ok: bool
    ms: float
    error: str | None = None


class Ready(BaseModel):
    status: Literal["ready", "not ready"]
    checks: dict[str, Check] = Field(
        description="model: a real inference; store: a real read; index: a real search"
    )
    provider: str = Field(description="what onnxruntime granted, not what was asked")
    precision: str
    bundle: str


class GalleryCounts(BaseModel):
    identities: int
    images: int


class ModelAnswer(BaseModel):
    bundle: str
    provider: str = Field(description="what onnxruntime granted, not what was asked")
    precision: str
    open: bool = Field(description="true: the service runs without API keys")
    gallery: GalleryCounts
    settings: dict[str, Any] = Field(description="every setting that differs from its default")
    notes: list[str] = Field(description="what start-up decided, clamped or derived")
    manifest: Manifest
