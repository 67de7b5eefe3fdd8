"""Whether the service can do its work: a real inference through the queue and a real search.

A session on which requests wait proves itself by answering them: one image more would only wait behind theirs, and
the busiest service would count as not ready.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

import numpy as np

from service.deadline import Deadline
from service.inference import BRANCHES
from service.problems import Problem
from service.schemas_health import Check, Ready
from service.services import Services

log = logging.getLogger("dgrl.service")

_SECONDS = 10.0
_FRESH_S = 1.0
_AT_WORK_S = 10.0


class Readiness:
    """Callers that come together, or within a second, share one check."""

    def __init__(self, services: Callable[[], Services]) -> None:
        self._services = services
        self._lock = asyncio.Lock()
        self._last: tuple[float, Ready] | None = None

    async def check(self) -> Ready:
        async with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > _FRESH_S:
                answer = await self._check()
                self._last = (time.monotonic(), answer)
            return self._last[1]

    async def _check(self) -> Ready:
        services = self._services()
        checks = {
            "model": await _timed(_infer(services)),
            "store": await _timed(services.in_store(services.gallery.count)),
            "index": await _timed(services.in_store(services.gallery.check)),
        }
        runtime = services.inference.runtime
        return Ready(
            status="ready" if all(check.ok for check in checks.values()) else "not ready",
            checks=checks,
            provider=runtime.granted,
            precision=runtime.precision,
            bundle=services.manifest.bundle_id,
        )


async def _infer(services: Services) -> None:
    """Every kind of session that is not at work, once: the smallest super-resolver and both encoders."""
    inference, manifest = services.inference, services.manifest
    deadline = Deadline.of(_SECONDS)
    spec = manifest.preprocessing
    for resolver in sorted(manifest.super_resolution, key=lambda s: s.height)[:1]:
        if inference.at_work(resolver.scale, _AT_WORK_S):
            continue
        bucket = np.zeros((resolver.height, resolver.width, 3), np.uint8)
        await inference.super_resolve([bucket], resolver.scale, deadline)
    blank = np.zeros((spec.height, spec.width, 3), np.uint8)
    for branch in BRANCHES:
        if inference.at_work(branch, _AT_WORK_S):
            continue
        [done] = await inference.embed([blank], branch, deadline)
        if not abs(float(np.linalg.norm(done.row)) - 1) < 1e-3:
            raise ValueError(f"the {branch} encoder gives no unit vector")


async def _timed(work: Awaitable[object]) -> Check:
    start = time.perf_counter()
    try:
        await work
        error = None
    except Problem as problem:
        error = problem.detail
    except Exception as failure:  # whatever it is: the service is not ready
        log.error("not ready", exc_info=failure)
        error = f"{type(failure).__name__}; the reason is in the service's log"
    return Check(ok=error is None, ms=round((time.perf_counter() - start) * 1000, 3), error=error)
