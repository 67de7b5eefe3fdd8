"""Who is this? A probe, or a tracklet of probes, against the gallery."""

from fastapi import APIRouter, Request

from service.body import ImageCount, openapi_body, read_form
from service.current import with_current_bundle
from service.dependencies import Reader, ServicesDep, StopwatchDep
from service.problems import Kind, responses
from service.querying import query
from service.schemas_query import QueryAnswer, QueryForm

router = APIRouter(tags=["search"])

BAD_PROBES = (
    Kind.IMAGE_UNDECODABLE,
    Kind.IMAGE_TOO_SMALL,
    Kind.IMAGE_TOO_MANY_PIXELS,
    Kind.UNSUPPORTED_MEDIA_TYPE,
)


@router.post(
    "/query",
    responses=responses(*BAD_PROBES, Kind.BUNDLE_MISMATCH),
    openapi_extra=openapi_body(QueryForm, ImageCount(1, 10_000)),
)
async def query_gallery(
    request: Request, services: ServicesDep, caller: Reader, watch: StopwatchDep
) -> QueryAnswer:
    """Ranks the identities for low-resolution crops of one person; several crops are fused as a tracklet."""
    form, uploads = await read_form(request, QueryForm, ImageCount(1, services.settings.max_images))
    return await with_current_bundle(
        request, lambda services: query(services, form, uploads, watch, caller.actor)
    )
