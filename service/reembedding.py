"""Moving the gallery to the other bundle while the service serves: a job in the background, then one switch.

The job itself lies in the gallery and survives anything; this runs it. It yields to requests: a batch waits up to a
second for a quiet moment, and takes its turn at the device like any other. Until the switch every search goes
through the old bundle; what is enrolled meanwhile is embedded for both. From the switch on every search goes through
the new one, without a restart.
"""

import asyncio
import contextlib
import gc
import logging
from dataclasses import replace

from starlette.datastructures import State

from index import IncompleteReembedding, Progress, Reembedding
from model.bundle.runtime import Bundle
from service.model import open_model
from service.notes import describe, notes
from service.problems import Kind, Problem
from service.schemas_reembedding import JobState
from service.services import Services, Target
from service.shadow import AT_ONCE, embed_some, quiet

log = logging.getLogger("dgrl.service")

# Until the next look for what was enrolled before the job had its sessions, and after a failure. It doubles, since a
# look at a large gallery in which nothing is left costs seconds; the switch looks for itself.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _LONGEST_FAILURE_S = 1.0, 300.0, 30.0
NO_JOB = "no re-embedding is under way: POST /reembedding begins one"


class Reembedder:
    """Belongs to the event loop. `state.services` is what requests work with; it is replaced here."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._changing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.error: str | None = None  # why the job does not get on; it tries again

    @property
    def state(self) -> JobState:
        if self._services.target is not None:
            return "running"
        return "waiting" if self._task is None else "starting"

    async def resume(self) -> None:
        """At start: go on with the job that was under way."""
        services = self._services
        job = await services.in_store(services.gallery.reembedding)
        if job is None:
            return
        if services.other is None or services.other.manifest.bundle_id != job.bundle_id:
            log.warning(
                "a re-embedding to bundle %s waits: give that bundle as DGRL_NEXT_BUNDLE to go on with it,"
                " or give it up with `dgrl reembed --give-up`",
                job.bundle_id,
            )
            return
        log.info("the re-embedding to bundle %s goes on", job.bundle_id)
        self._start(job, services.other)

    async def begin(self, actor: str) -> None:
        """Begin, or go on. Raises ReembeddingUnderWay while there is a job for a third bundle."""
        async with self._changing:
            other = self._other()
            ids = other.manifest.bundle_id, other.manifest.dimension
            job = await self._services.in_store(self._services.gallery.reembed, *ids, actor=actor)
            if self._task is None:
                self._start(job, other)

    async def progress(self) -> Progress | None:
        job = await self._job()
        return None if job is None else await self._services.in_store(job.progress)

    async def job(self) -> Reembedding:
        job = await self._job()
        if job is None:
            raise Problem(Kind.NO_REEMBEDDING, NO_JOB)
        return job

    async def switch(self, forget_missing: bool, actor: str) -> None:
        """Raises IncompleteReembedding while images lack a vector of the new bundle."""
        async with self._changing:
            job, s = await self.job(), self._services
            target, left = s.target, (await s.in_store(job.progress)).pending
            if target is None or left > AT_ONCE:
                raise IncompleteReembedding(f"{left} images are not embedded yet: wait for the job")
            described = await s.in_store(notes, s.settings, target.model, s.gallery, s.gate)
            await self._cancel()
            async with s.storing.alone():  # nobody enrols until the new bundle serves
                try:
                    await _finish(s, target, forget_missing, actor)
                finally:
                    if s.gallery.bundle_id == target.model.manifest.bundle_id:
                        self._serve(target, tuple(described))
                    else:
                        self._start(job, target.model.bundle)

    async def give_up(self, actor: str) -> None:
        async with self._changing:
            job = await self.job()
            await self._halt()
            await self._services.in_store(job.roll_back, actor=actor)

    async def stop(self) -> None:
        async with self._changing:
            await self._halt()

    @property
    def _services(self) -> Services:
        services: Services = self._state.services
        return services

    def _other(self) -> Bundle:
        if self._services.other is None:
            text = "start the service with the new bundle's folder as DGRL_NEXT_BUNDLE"
            raise Problem(Kind.NO_NEXT_BUNDLE, text)
        return self._services.other

    async def _job(self) -> Reembedding | None:
        return await self._services.in_store(self._services.gallery.reembedding)

    async def _run(self, job: Reembedding, bundle: Bundle) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                if self._services.target is None:
                    await self._open(job, bundle)
                while await self._work():
                    pause = _FIRST_PAUSE_S
            except Exception as error:  # a full disk, a device that fails: what is done stays done
                log.error("the re-embedding does not get on", exc_info=error)
                self.error = f"{type(error).__name__}; the reason is in the service's log"
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_FAILURE_S if self.error else _LONGEST_PAUSE_S)

    async def _open(self, job: Reembedding, bundle: Bundle) -> None:
        s = self._services
        model = await asyncio.to_thread(open_model, s.settings, bundle, s.lanes, s.metrics)
        self._state.services = replace(self._services, target=Target(model, job))

    async def _work(self) -> bool:
        services = self._services
        assert services.target is not None
        await quiet(services)
        more = await embed_some(services.in_store, services.target)
        self.error = None
        return more

    def _start(self, job: Reembedding, bundle: Bundle) -> None:
        self._task = asyncio.create_task(self._run(job, bundle))

    async def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._task, self.error = None, None

    async def _halt(self) -> None:
        await self._cancel()
        target = self._services.target
        self._state.services = replace(self._services, target=None)
        if target is not None:
            await asyncio.to_thread(target.model.close)

    def _serve(self, target: Target, described: tuple[str, ...]) -> None:
        old = self._services
        new = replace(old, model=target.model, other=old.model.bundle, target=None, notes=described)
        self._state.services = new
        describe(new)
        gc.unfreeze()  # the old sessions go once the last request that uses them is answered
        log.info("searches go through bundle %s from here on", new.manifest.bundle_id)


async def _finish(services: Services, target: Target, forget_missing: bool, actor: str) -> None:
    while await embed_some(services.in_store, target):
        pass
    await services.in_store(target.job.switch, forget_missing=forget_missing, actor=actor)
