"""Are these the same person?"""

from fastapi import APIRouter, Request

from service.body import ImageCount, openapi_body, read_form
from service.current import with_current_bundle
from service.dependencies import Reader, ServicesDep, StopwatchDep
from service.problems import Kind, responses
from service.routes.query import BAD_PROBES
from service.schemas_query import VerifyAnswer, VerifyForm
from service.verification import verify

router = APIRouter(tags=["search"])

_IMAGES = ImageCount(0, 2)


@router.post(
    "/verify",
    responses=responses(*BAD_PROBES, Kind.UNKNOWN_IDENTITY, Kind.BUNDLE_MISMATCH),
    openapi_extra=openapi_body(VerifyForm, _IMAGES),
)
async def verify_pair(
    request: Request, services: ServicesDep, caller: Reader, watch: StopwatchDep
) -> VerifyAnswer:
    """Compares two images, an image and an identity, or a vector and an identity."""
    form, uploads = await read_form(request, VerifyForm, _IMAGES)
    return await with_current_bundle(
        request, lambda services: verify(services, form, uploads, watch, caller.actor)
    )
