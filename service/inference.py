"""The bundle's sessions behind their batchers: embeddings by branch, super-resolution by bucket."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.bundle.routing import Branch
from model.bundle.runtime import Runtime
from service.batching import Done, Lanes, MicroBatcher, Pixels
from service.deadline import Deadline
from service.metrics import Metrics
from service.settings import Settings

BRANCHES: tuple[Branch, ...] = ("hr", "sr")


class Inference:
    def __init__(self, runtime: Runtime, settings: Settings, metrics: Metrics) -> None:
        self.runtime = runtime
        self._lanes = Lanes(settings.lanes)

        def batcher(name: str, run: Any) -> MicroBatcher:
            return MicroBatcher(name, run, self._lanes, settings.max_batch, metrics)

        self._encoders = {
            branch: batcher(f"embed_{branch}", partial(runtime.embed, branch=branch)) for branch in BRANCHES
        }
        self._resolvers: dict[int, MicroBatcher] = {
            s.scale: batcher(f"super_resolve_x{s.scale}", partial(runtime.super_resolve, scale=s.scale))
            for s in runtime.manifest.super_resolution
        }

    async def embed(self, images: Sequence[Pixels], branch: Branch, deadline: Deadline) -> list[Done]:
        """Each (height, width, 3) of the encoder's input; the rows are unit float32 (dimension,)."""
        return await self._all(self._encoders[branch], images, deadline)

    async def super_resolve(self, images: Sequence[Pixels], scale: int, deadline: Deadline) -> list[Done]:
        """Each (height, width, 3) of the scale's bucket; the rows are uint8, `scale` times as large."""
        return await self._all(self._resolvers[scale], images, deadline)

    def warm_up(self, max_batch: int) -> None:
        """Runs every session at its smallest and largest batch, so that no request pays for a first time."""
        manifest = self.runtime.manifest
        size = (manifest.preprocessing.height, manifest.preprocessing.width)
        for count in sorted({1, 1 << (max_batch.bit_length() - 1)}):
            for branch in BRANCHES:
                self.runtime.embed(_blank(count, *size), branch)
            for s in manifest.super_resolution:
                self.runtime.super_resolve(_blank(count, s.height, s.width), s.scale)

    def close(self) -> None:
        self._lanes.close()

    async def _all(self, batcher: MicroBatcher, images: Sequence[Pixels], deadline: Deadline) -> list[Done]:
        if len(images) == 1:
            return [await batcher.submit(images[0], deadline)]
        return await asyncio.gather(*(batcher.submit(image, deadline) for image in images))


def _blank(count: int, height: int, width: int) -> NDArray[np.uint8]:
    return np.full((count, height, width, 3), 128, np.uint8)
