"""What the routes about the service itself give."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from index.types import SearchMethod
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
        description="model: a real inference, its own or a request's; store: a real read; index: a real search"
    )
    provider: str = Field(description="what onnxruntime granted, not what was asked")
    precision: str
    bundle: str


class GalleryCounts(BaseModel):
    identities: int
    images: int


class SearchState(BaseModel):
    method: SearchMethod = Field(description="as set; below 10,000 images every search is exact")
    indexed: int | None = Field(
        description="images in the second index; null: searches read all vectors, and are exact"
    )
    recall: float | None = Field(
        description="share of the exact search's ten best images that it finds, measured when it was built"
    )


class ModelAnswer(BaseModel):
    bundle: str
    next_bundle: str | None = Field(description="see /reembedding")
    provider: str = Field(description="what onnxruntime granted, not what was asked")
    precision: str
    open: bool = Field(description="true: the service runs without API keys")
    gallery: GalleryCounts
    search: SearchState
    settings: dict[str, Any] = Field(description="every setting that differs from its default")
    notes: list[str] = Field(description="what start-up decided, clamped or derived")
    manifest: Manifest
