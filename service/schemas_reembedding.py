"""What the routes about the change of the bundle give."""

from pydantic import BaseModel, Field

from service.schemas import Paged


class Job(BaseModel):
    bundle: str
    images: int
    embedded: int
    pending: int
    missing: int = Field(description="images that must be enrolled again: see /reembedding/missing")
    running: bool = Field(description="false: its bundle is not configured in this service")
    error: str | None = Field(description="why it does not get on; it tries again")


class ReembeddingState(BaseModel):
    bundle: str = Field(description="whose vectors are searched")
    next_bundle: str | None = Field(description="the other one that is configured")
    job: Job | None = Field(description="null: no re-embedding is under way")


class MissingImage(BaseModel):
    image_id: str
    identity: str
    filename: str | None
    reason: str


class MissingImages(Paged):
    images: list[MissingImage]
