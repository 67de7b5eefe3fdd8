"""Vectors of the bundle that the gallery is being moved to: of what it holds, and of what is enrolled meanwhile."""

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Sequence
from typing import ParamSpec, Protocol, TypeVar

from index import Added, GalleryError
from service.body import Upload
from service.deadline import Deadline
from service.pipeline import Crop, Vector
from service.services import Services, Target

log = logging.getLogger("dgrl.service")

P = ParamSpec("P")
R = TypeVar("R")

AT_ONCE = 32  # images
_QUIET_S = 1.0


class InStore(Protocol):
    """Runs what touches the gallery in a thread."""

    async def __call__(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...


async def embed_some(in_store: InStore, target: Target) -> bool:
    """The next images of the job; whether there were any."""
    pending = await in_store(target.job.pending, AT_ONCE)
    uploads = [Upload(one.image.data) for one in pending]
    decoded = await target.model.pipeline.decode_gallery(uploads)
    usable = [(one, crop) for one, crop in zip(pending, decoded, strict=True) if isinstance(crop, Crop)]
    crops = [crop for _, crop in usable]
    vectors = await target.model.pipeline.embed_gallery(crops, Deadline.of(math.inf))
    pairs = [(one.image_id, vector) for (one, _), vector in zip(usable, vectors, strict=True)]
    await in_store(target.job.store, pairs)
    for one, crop in zip(pending, decoded, strict=True):
        if not isinstance(crop, Crop):
            await in_store(target.job.skip, one.image_id, str(crop))
    return bool(pending)


async def quiet(services: Services) -> None:
    """Waits while requests are in work, but not for ever."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_QUIET_S):
            while services.admission.inside:
                await asyncio.sleep(0.01)


async def embed_for_target(
    services: Services, uploads: Sequence[Upload], deadline: Deadline
) -> list[Vector | None]:
    """With the bundle that the gallery is being moved to; None for what cannot be embedded with it."""
    if services.target is None:
        return []
    pipeline = services.target.model.pipeline
    decoded = await pipeline.decode_gallery(uploads)
    vectors = iter(await pipeline.embed_gallery([c for c in decoded if isinstance(c, Crop)], deadline))
    return [next(vectors) if isinstance(crop, Crop) else None for crop in decoded]


async def store_for_target(
    services: Services, added: Sequence[Added], shadow: Sequence[Vector | None]
) -> None:
    """Also of a duplicate, which may be enrolled again for just this. The enrolment itself is done: the job takes
    up, or lists as missing, what is not stored here."""
    if services.target is None:
        return
    found = [(one.image_id, v) for one, v in zip(added, shadow, strict=True) if v is not None]
    try:
        await services.in_store(services.target.job.store, found)
    except GalleryError as error:
        log.warning("an enrolment is not in the next bundle's vectors yet: %s", error)
