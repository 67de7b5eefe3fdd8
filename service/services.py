"""Everything that the routes work with, opened once at start-up and closed in the opposite order."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from index import Gallery
from model.bundle.calibration import Calibration
from model.bundle.manifest import Manifest
from service.admission import Admission
from service.auth import Gate
from service.inference import Inference
from service.metrics import Metrics
from service.pipeline import Pipeline
from service.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    manifest: Manifest
    inference: Inference
    pipeline: Pipeline
    calibration: Calibration
    gallery: Gallery
    gate: Gate
    admission: Admission
    metrics: Metrics
    store_threads: ThreadPoolExecutor
    notes: tuple[str, ...]  # what start-up decided or found, for the log and /model

    async def in_store(self, work: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Runs what touches the gallery (or hashes a file) in a thread of its own pool."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.store_threads, lambda: work(*args, **kwargs))

    def close(self) -> None:
        self.store_threads.shutdown(wait=True, cancel_futures=True)
        self.pipeline.close()
        self.inference.close()
        self.gallery.close()
