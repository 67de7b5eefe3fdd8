"""Changing the bundle: re-embed the gallery in the background, then switch, or give it up."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from service.dependencies import Admin, PagingDep, ServicesDep
from service.problems import Kind, responses
from service.reembedding import Reembedder
from service.schemas_reembedding import Job, MissingImage, MissingImages, ReembeddingState
from service.services import Services

router = APIRouter(tags=["operation"])


async def _reembedder(request: Request) -> Reembedder:
    found: Reembedder = request.app.state.reembedder
    return found


ReembedderDep = Annotated[Reembedder, Depends(_reembedder)]


@router.get("/reembedding")
async def reembedding(request: Request, reembedder: ReembedderDep, _: Admin) -> ReembeddingState:
    return await _state(request, reembedder)


@router.post(
    "/reembedding",
    status_code=202,
    responses=responses(Kind.NO_NEXT_BUNDLE, Kind.REEMBEDDING_UNDER_WAY, Kind.NOT_OFFERED),
)
async def begin_reembedding(request: Request, reembedder: ReembedderDep, caller: Admin) -> ReembeddingState:
    """Begins to embed the gallery's pictures with the other bundle, or goes on with it. Searches stay as they are."""
    await reembedder.begin(caller.actor)
    return await _state(request, reembedder)


@router.get("/reembedding/missing", responses=responses(Kind.NO_REEMBEDDING))
async def missing_images(
    services: ServicesDep, reembedder: ReembedderDep, _: Admin, paging: PagingDep
) -> MissingImages:
    """What has no stored picture, or an unusable one. Enrol it again while the job is running, and it is in."""
    page = await services.in_store((await reembedder.job()).missing, paging.cursor, paging.limit)
    images = [
        MissingImage(image_id=m.image_id, identity=m.identity, filename=m.filename, reason=m.reason)
        for m in page.items
    ]
    return MissingImages(images=images, next_cursor=page.next_cursor)


@router.post("/reembedding/switch", responses=responses(Kind.NO_REEMBEDDING, Kind.REEMBEDDING_INCOMPLETE))
async def switch_bundle(
    request: Request,
    reembedder: ReembedderDep,
    caller: Admin,
    forget_missing: Annotated[bool, Query(description="delete the images that have no new vector")] = False,
) -> ReembeddingState:
    """From the answer on everything goes through the new bundle. To go back, begin again: only what came since
    is embedded."""
    await reembedder.switch(forget_missing, caller.actor)
    return await _state(request, reembedder)


@router.delete("/reembedding", status_code=204, responses=responses(Kind.NO_REEMBEDDING))
async def give_up_reembedding(reembedder: ReembedderDep, caller: Admin) -> None:
    """Ends the job and erases what it embedded; the gallery stays as it is."""
    await reembedder.give_up(caller.actor)


@router.delete("/reembedding/previous", status_code=204, responses=responses(Kind.NOT_OFFERED))
async def erase_previous_vectors(services: ServicesDep, caller: Admin) -> None:
    """Erases the vectors from before the last switch, which are kept for the way back."""
    await services.in_store(services.gallery.discard_retired, actor=caller.actor)


async def _state(request: Request, reembedder: Reembedder) -> ReembeddingState:
    progress, services = await reembedder.progress(), _services(request)
    job = progress and Job(
        bundle=progress.bundle_id,
        images=progress.images,
        embedded=progress.embedded,
        pending=progress.pending,
        missing=progress.missing,
        state=reembedder.state,
        error=reembedder.error,
    )
    other = services.other
    return ReembeddingState(
        bundle=services.manifest.bundle_id,
        next_bundle=other.manifest.bundle_id if other else None,
        job=job,
    )


def _services(request: Request) -> Services:
    """As they are now, and not when the request came."""
    services: Services = request.app.state.services
    return services
