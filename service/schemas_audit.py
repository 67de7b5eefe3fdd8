"""What GET /audit gives."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from service.schemas import Paged


class AuditEntry(BaseModel):
    at: datetime
    actor: str | None = Field(
        description="the API key's name and id; `open` while there are no keys; null: the gallery itself"
    )
    action: str = Field(description="enrol, search (counted over some seconds), rename, delete, expire, ...")
    detail: dict[str, Any] = Field(description="what was acted on: identity, image ids, numbers")


class AuditPage(Paged):
    lines: list[AuditEntry]
