"""The vectors themselves, for trackers and other tools."""

from fastapi import APIRouter, Request

from service.body import ImageCount, openapi_body, read_form
from service.deadline import Deadline
from service.dependencies import Reader, ServicesDep, StopwatchDep
from service.problems import responses
from service.querying import probe_out, timing
from service.routes.query import BAD_PROBES
from service.schemas_query import EmbedAnswer, EmbedForm, Vector

router = APIRouter(tags=["search"])


@router.post(
    "/embed", responses=responses(*BAD_PROBES), openapi_extra=openapi_body(EmbedForm, ImageCount(1, 10_000))
)
async def embed(request: Request, services: ServicesDep, _: Reader, watch: StopwatchDep) -> EmbedAnswer:
    """One unit vector for each image, in order. Vectors of one bundle compare by their inner product."""
    form, uploads = await read_form(request, EmbedForm, ImageCount(1, services.settings.max_images))
    deadline = Deadline.of(services.settings.deadline_s)
    with services.admission.admit(len(uploads)):
        probes = await services.pipeline.embed_probes(uploads, form.super_resolution, deadline, watch)
    return EmbedAnswer(
        bundle=services.manifest.bundle_id,
        dimension=services.manifest.dimension,
        embeddings=[Vector(**dict(probe_out(p)), vector=p.vector.tolist()) for p in probes],
        timing_ms=timing(services, watch),
    )
