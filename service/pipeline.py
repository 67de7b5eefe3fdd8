"""From uploads to unit vectors: decode, quality, resize, super-resolve, embed.

Gallery images take the HR stem. Probes are routed by their height: to a super-resolver's bucket and the SR
stem, or straight to the HR stem. Pillow and numpy run in threads, the sessions behind their batchers.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from model.bundle.cpu import usable_cores
from model.bundle.preprocessing import ImageError, ImageLimits, Pixels, decode, resize
from model.bundle.routing import Branch, Route, SuperResolution, route
from service.body import Upload
from service.deadline import Deadline
from service.inference import Inference
from service.problems import FieldError, InvalidFields, Problem
from service.quality import Quality, QualityLimits, measure
from service.settings import Settings
from service.timing import Stopwatch

Vector = NDArray[np.float32]
T = TypeVar("T")
R = TypeVar("R")

GALLERY_ROUTE = Route(None, "hr", None)


@dataclass(frozen=True, slots=True)
class Crop:
    """`pixels`: the input of the next stage, a super-resolver's bucket or the encoder's size."""

    quality: Quality
    route: Route
    pixels: Pixels
    super_resolved: Pixels | None = None


@dataclass(frozen=True, slots=True)
class Embedded:
    crop: Crop
    vector: Vector  # (dimension,)


class Pipeline:
    def __init__(self, settings: Settings, inference: Inference) -> None:
        manifest = inference.runtime.manifest
        self._manifest = manifest
        self._inference = inference
        self._limits = ImageLimits(settings.max_pixels, settings.min_height, settings.min_width)
        self._quality = QualityLimits.of(settings, manifest)
        self._threads = ThreadPoolExecutor(
            settings.decode_threads or usable_cores(), thread_name_prefix="decode"
        )

    async def decode_gallery(self, uploads: Sequence[Upload]) -> list[Crop | ImageError]:
        """One answer for each upload: what cannot be used does not stop the others."""
        return await self.each(self._gallery_crop, uploads)

    async def embed_gallery(self, crops: Sequence[Crop], deadline: Deadline) -> list[Vector]:
        answers = await self._inference.embed([crop.pixels for crop in crops], "hr", deadline)
        return [answer.row for answer in answers]

    async def embed_probes(
        self, uploads: Sequence[Upload], wanted: SuperResolution, deadline: Deadline, watch: Stopwatch
    ) -> list[Embedded]:
        """All or none: the first image that cannot be used is a `Problem` that gives its position."""
        self._check_scale(wanted)
        with watch.stage("decode"):
            decoded = await self.each(lambda upload: self._probe_crop(upload, wanted), uploads)
        crops = [_usable(crop, position) for position, crop in enumerate(decoded)]
        deadline.check()
        with watch.stage("super_resolve"):
            crops = await self._super_resolve(crops, deadline, watch)
        with watch.stage("embed"):
            return await self._embed(crops, deadline, watch)

    def close(self) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _gallery_crop(self, upload: Upload) -> Crop | ImageError:
        return self._crop(upload, lambda _: GALLERY_ROUTE)

    def _probe_crop(self, upload: Upload, wanted: SuperResolution) -> Crop | ImageError:
        return self._crop(upload, lambda height: route(height, self._manifest, wanted))

    def _crop(self, upload: Upload, way: Callable[[int], Route]) -> Crop | ImageError:
        try:
            image = decode(upload.data, self._limits)
        except ImageError as error:
            return error
        quality = measure(image, self._quality, self._manifest.hr_reference_height)
        taken = way(image.height)
        return Crop(quality, taken, resize(image, *(taken.bucket or self._input_size)))

    @property
    def _input_size(self) -> tuple[int, int]:
        spec = self._manifest.preprocessing
        return spec.height, spec.width

    async def _super_resolve(self, crops: Sequence[Crop], deadline: Deadline, watch: Stopwatch) -> list[Crop]:
        done = list(crops)
        for scale in sorted({crop.route.scale for crop in crops if crop.route.scale is not None}):
            chosen = [i for i, crop in enumerate(crops) if crop.route.scale == scale]
            answers = await self._inference.super_resolve([crops[i].pixels for i in chosen], scale, deadline)
            watch.waited("super_resolve", answers)
            for i, answer in zip(chosen, answers, strict=True):
                done[i] = replace(crops[i], pixels=answer.row.pixels, super_resolved=answer.row.picture)
        return done

    async def _embed(self, crops: Sequence[Crop], deadline: Deadline, watch: Stopwatch) -> list[Embedded]:
        found: dict[int, Embedded] = {}
        branches: set[Branch] = {crop.route.branch for crop in crops}
        for branch in sorted(branches):
            chosen = [i for i, crop in enumerate(crops) if crop.route.branch == branch]
            answers = await self._inference.embed([crops[i].pixels for i in chosen], branch, deadline)
            watch.waited("embed", answers)
            found |= {i: Embedded(crops[i], answer.row) for i, answer in zip(chosen, answers, strict=True)}
        return [found[i] for i in range(len(crops))]

    async def each(self, work: Callable[[T], R], items: Sequence[T]) -> list[R]:
        """Runs Pillow and numpy work on all items, in threads."""
        loop = asyncio.get_running_loop()
        return list(await asyncio.gather(*(loop.run_in_executor(self._threads, work, i) for i in items)))

    def _check_scale(self, wanted: SuperResolution) -> None:
        try:
            route(1, self._manifest, wanted)
        except ValueError as error:
            raise InvalidFields([FieldError(field="super_resolution", message=str(error))]) from None


def fuse(vectors: Sequence[Vector]) -> Vector:
    """The tracklet's vector: the mean of the unit vectors, at unit length again."""
    mean = np.mean(np.stack(vectors), axis=0, dtype=np.float64)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)


def _usable(crop: Crop | ImageError, position: int) -> Crop:
    if isinstance(crop, Crop):
        return crop
    problem = Problem.from_error(crop)
    problem.members["image"] = position
    raise problem
