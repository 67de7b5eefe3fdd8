"""Who did what: the gallery's audit log, to which lines are only ever added."""

from fastapi import APIRouter

from service.dependencies import Admin, PagingDep, ServicesDep
from service.schemas_audit import AuditEntry, AuditPage

router = APIRouter(tags=["operation"])


@router.get("/audit")
async def audit_log(services: ServicesDep, _: Admin, paging: PagingDep) -> AuditPage:
    """From the oldest line to the newest. Searches are counted by caller and written every few seconds."""
    page = await services.in_store(services.gallery.audit, paging.cursor, paging.limit)
    lines = [AuditEntry(at=o.at, actor=o.actor, action=o.action, detail=o.detail) for o in page.items]
    return AuditPage(lines=lines, next_cursor=page.next_cursor)
