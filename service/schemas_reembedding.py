"""What the routes about the change of the bundle give."""

from typing import Literal

from pydantic import BaseModel, Field

from service.schemas import Paged

JobState = Literal["waiting", "starting", "running"]


class Job(BaseModel):
    bundle: str
    images: int
    embedded: int
    pending: int
    missing: int = Field(description="images that must be enrolled again: see /reembedding/missing")
    state: JobState = Field(
        description="waiting: its bundle is not configured in this service; starting: its sessions are being opened;"
        " running: what is enrolled goes to the new bundle as well"
    )
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
