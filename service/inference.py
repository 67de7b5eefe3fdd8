"""The bundle's sessions behind their batchers: embeddings by branch, super-resolution by bucket."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.bundle.preprocessing import Pixels, resize
from model.bundle.routing import Branch
from model.bundle.runtime import Runtime
from service.batching import Done, Lanes, MicroBatcher, Row, Run
from service.deadline import Deadline
from service.metrics import Metrics
from service.settings import Settings

BRANCHES: tuple[Branch, ...] = ("hr", "sr")
Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Enlarged:
    """`picture` is `scale` times as large as its bucket; `pixels` is the same at the encoder's size."""

    picture: Pixels
    pixels: Pixels


class Inference:
    def __init__(self, runtime: Runtime, settings: Settings, lanes: Lanes, metrics: Metrics) -> None:
        self.runtime = runtime

        def batcher(name: str, run: Run[Row]) -> MicroBatcher[Row]:
            return MicroBatcher(name, run, lanes, settings.max_batch, metrics)

        self._encoders: dict[Branch, MicroBatcher[Vector]] = {
            branch: batcher(f"embed_{branch}", partial(runtime.embed, branch=branch)) for branch in BRANCHES
        }
        self._resolvers: dict[int, MicroBatcher[Enlarged]] = {
            s.scale: batcher(f"super_resolve_x{s.scale}", partial(self._enlarge, scale=s.scale))
            for s in runtime.manifest.super_resolution
        }

    async def embed(self, images: Sequence[Pixels], branch: Branch, deadline: Deadline) -> list[Done[Vector]]:
        """Each (height, width, 3) of the encoder's input; the rows are unit float32 (dimension,)."""
        return await _all(self._encoders[branch], images, deadline)

    async def super_resolve(
        self, images: Sequence[Pixels], scale: int, deadline: Deadline
    ) -> list[Done[Enlarged]]:
        """Each (height, width, 3) of the scale's bucket."""
        return await _all(self._resolvers[scale], images, deadline)

    def at_work(self, session: Branch | int, seconds: float) -> bool:
        """As `MicroBatcher.at_work`; of an encoder, by its branch, or of a super-resolver, by its scale."""
        batcher = self._resolvers[session] if isinstance(session, int) else self._encoders[session]
        return batcher.at_work(seconds)

    def warm_up(self, max_batch: int) -> None:
        """Runs every session at its smallest and largest batch, so that no request pays for a first time."""
        manifest = self.runtime.manifest
        size = (manifest.preprocessing.height, manifest.preprocessing.width)
        for count in sorted({1, 1 << (max_batch.bit_length() - 1)}):
            for branch in BRANCHES:
                self.runtime.embed(_blank(count, *size), branch)
            for s in manifest.super_resolution:
                self.runtime.super_resolve(_blank(count, s.height, s.width), s.scale)

    def _enlarge(self, images: Pixels, scale: int) -> list[Enlarged]:
        """Resizes in the session's own thread: a fraction of a millisecond, less than handing it to another."""
        spec = self.runtime.manifest.preprocessing
        pictures = self.runtime.super_resolve(images, scale)
        return [Enlarged(p, resize(Image.fromarray(p), spec.height, spec.width)) for p in pictures]


async def _all(batcher: MicroBatcher[Row], images: Sequence[Pixels], deadline: Deadline) -> list[Done[Row]]:
    if len(images) == 1:
        return [await batcher.submit(images[0], deadline)]
    return await asyncio.gather(*(batcher.submit(image, deadline) for image in images))


def _blank(count: int, height: int, width: int) -> NDArray[np.uint8]:
    return np.full((count, height, width, 3), 128, np.uint8)
