"""What runs here: the bundle, what it was granted, and every setting that is not the default."""

from fastapi import APIRouter

from service.dependencies import Reader, ServicesDep
from service.schemas_health import GalleryCounts, ModelAnswer, SearchState
from service.services import Services

router = APIRouter(tags=["operation"])


@router.get("/model")
async def model(services: ServicesDep, _: Reader) -> ModelAnswer:
    runtime, other = services.inference.runtime, services.other
    counts = await services.in_store(services.gallery.count)
    return ModelAnswer(
        bundle=services.manifest.bundle_id,
        next_bundle=other.manifest.bundle_id if other else None,
        provider=runtime.granted,
        precision=runtime.precision,
        open=services.gate.open,
        gallery=GalleryCounts(identities=counts.identities, images=counts.images),
        search=_search(services),
        settings=services.settings.overrides(),
        notes=list(services.notes),
        manifest=services.manifest,
    )


def _search(services: Services) -> SearchState:
    built = services.gallery.acceleration
    return SearchState(
        method=services.settings.search,
        indexed=built.images if built else None,
        recall=built.recall if built else None,
    )
