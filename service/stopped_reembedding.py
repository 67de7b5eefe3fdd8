"""Moving the gallery of a stopped service to DGRL_BUNDLE.

The new bundle embeds the stored pictures; the one before is not needed, and may be gone: an update of the program
brings its own. The job lies in the gallery as that of a running service does (`service.reembedding`), so it goes on
where it was cut off.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

from index import Gallery, GalleryError, Missing, Progress, Reembedding, WrongBundle, open_gallery
from index.migrate import DISTRIBUTED, sqlite_path
from model.bundle.manifest import Manifest
from model.bundle.runtime import Bundle
from service.batching import Lanes
from service.metrics import Metrics
from service.model import open_model
from service.services import Target
from service.settings import Settings
from service.shadow import embed_some

Tell = Callable[[Progress], None]
_SHARE = 10  # telling takes at most a tenth of the time: counting a large gallery costs seconds


def move(settings: Settings, *, forget_missing: bool, actor: str, tell: Tell = lambda _: None) -> Progress:
    """Embed what is left and switch. Raises IncompleteReembedding where pictures are missing, unless they may be
    forgotten; GalleryError where the gallery holds the bundle's vectors already, or is in use."""
    bundle = Bundle.load(settings.bundle)
    with contextlib.closing(_open_as_it_is(settings, bundle.manifest)) as gallery:
        job = gallery.reembed(bundle.manifest.bundle_id, bundle.manifest.dimension, actor=actor)
        asyncio.run(_embed_all(settings, bundle, job, tell))
        job.switch(forget_missing=forget_missing, actor=actor)
        return job.progress()


def give_up(settings: Settings, *, actor: str) -> None:
    """End the job under way, whichever bundle it leads to. Raises GalleryError where there is none."""
    bundle = Bundle.load(settings.bundle)
    with contextlib.closing(_open_as_it_is(settings, bundle.manifest)) as gallery:
        if (job := gallery.reembedding()) is None:
            raise GalleryError("no re-embedding is under way")
        job.roll_back(actor=actor)


def missing(settings: Settings) -> Iterator[Missing]:
    """What the job under way cannot embed."""
    bundle = Bundle.load(settings.bundle)
    with contextlib.closing(_open_as_it_is(settings, bundle.manifest)) as gallery:
        job, cursor = gallery.reembedding(), None
        while job is not None:
            page = job.missing(cursor)
            yield from page.items
            if (cursor := page.next_cursor) is None:
                return


def _open_as_it_is(settings: Settings, wanted: Manifest) -> Gallery:
    """With the vectors that it holds, whichever bundle's they are. One that is not there is not made."""
    uri = settings.gallery_uri
    if not uri.startswith(DISTRIBUTED) and not sqlite_path(uri).is_file():
        raise GalleryError(f"no gallery in {sqlite_path(uri)}: name its folder with --data-dir")
    bundle_id, dimension = wanted.bundle_id, wanted.dimension
    try:
        return _opened(settings, bundle_id, dimension)
    except WrongBundle as error:
        if error.held is None:
            raise
        return _opened(settings, *error.held)


def _opened(settings: Settings, bundle_id: str, dimension: int) -> Gallery:
    return open_gallery(
        settings.gallery_uri, bundle_id=bundle_id, dimension=dimension, keep_images=settings.keep_images
    )


async def _embed_all(settings: Settings, bundle: Bundle, job: Reembedding, tell: Tell) -> None:
    lanes = Lanes(settings.lanes)
    model = await asyncio.to_thread(open_model, settings, bundle, lanes, Metrics())
    try:
        more, due = True, 0.0
        while more:
            more = await embed_some(asyncio.to_thread, Target(model, job))
            if (start := time.monotonic()) >= due or not more:
                tell(await asyncio.to_thread(job.progress))
                due = time.monotonic() + _SHARE * (time.monotonic() - start)
    finally:
        model.close()
        lanes.close()
