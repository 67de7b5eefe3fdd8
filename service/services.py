"""Everything that the routes work with, opened once at start-up and closed in the opposite order."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from index import Gallery, Reembedding
from model.bundle.calibration import Calibration
from model.bundle.manifest import Manifest
from model.bundle.runtime import Bundle
from service.admission import Admission
from service.auth import Gate
from service.batching import Lanes
from service.inference import Inference
from service.metrics import Metrics
from service.model import Model
from service.pipeline import Pipeline
from service.settings import Settings
from service.shared_lock import SharedLock

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a re-embedding leads: what is enrolled while it runs is embedded for it as well."""

    model: Model
    job: Reembedding


@dataclass(frozen=True, slots=True)
class Services:
    """A request takes these once. When the bundle changes they are replaced as a whole, so that no request ever
    compares vectors of two bundles."""

    settings: Settings
    model: Model
    other: Bundle | None  # of the two that are configured, the one that is not served
    gallery: Gallery
    gate: Gate
    admission: Admission
    metrics: Metrics
    lanes: Lanes
    store_threads: ThreadPoolExecutor
    notes: tuple[str, ...]  # what start-up decided or found, for the log and /model
    target: Target | None = None
    storing: SharedLock = field(default_factory=SharedLock)  # together to enrol, alone to change the bundle

    @property
    def manifest(self) -> Manifest:
        return self.model.manifest

    @property
    def inference(self) -> Inference:
        return self.model.inference

    @property
    def pipeline(self) -> Pipeline:
        return self.model.pipeline

    @property
    def calibration(self) -> Calibration:
        return self.model.calibration

    async def in_store(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs what touches the gallery (or hashes a file) in a thread of its own pool."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.store_threads, lambda: work(*args, **kwargs))

    def close(self) -> None:
        self.store_threads.shutdown(wait=True, cancel_futures=True)
        self.model.close()
        self.lanes.close()
        self.gallery.close()
