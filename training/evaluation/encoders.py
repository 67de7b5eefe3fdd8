"""What evaluation needs of a model, and the exported bundle as one: the same code serves a checkpoint."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model.bundle.preprocessing import Pixels
from model.bundle.routing import Branch, Route, SuperResolution, route
from model.bundle.runtime import Runtime

Vectors = NDArray[np.float32]
Way = Callable[[int], Route]  # by an image's height: which super-resolver and which stem

HIGH_RESOLUTION = Route(None, "hr", None)
LOW_RESOLUTION = Route(None, "sr", None)  # plainly upscaled


class Encoder(Protocol):
    @property
    def name(self) -> str:
        """What reports call it."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's input."""

    def route(self, height: int, requested: SuperResolution, /) -> Route: ...

    def super_resolve(self, images: Pixels, scale: int, /) -> Pixels: ...

    def embed(self, images: Pixels, branch: Branch, /) -> Vectors:
        """uint8 (N, *size, 3) to unit rows (N, D)."""


class BundleEncoder:
    """An exported bundle, run as the service runs it."""

    name = "bundle"

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        spec = runtime.manifest.preprocessing
        self.size = (spec.height, spec.width)

    def route(self, height: int, requested: SuperResolution) -> Route:
        return route(height, self._runtime.manifest, requested)

    def super_resolve(self, images: Pixels, scale: int) -> Pixels:
        return self._runtime.super_resolve(images, scale)

    def embed(self, images: Pixels, branch: Branch) -> Vectors:
        return self._runtime.embed(images, branch)


class Flipped:
    """Test-time flip: the sum of an image's and its mirror image's vectors, made unit again."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self.name = f"{encoder.name} with flip"
        self.size = encoder.size
        self.route = encoder.route
        self.super_resolve = encoder.super_resolve

    def embed(self, images: Pixels, branch: Branch) -> Vectors:
        mirrored = np.ascontiguousarray(images[:, :, ::-1])
        both = self._encoder.embed(images, branch) + self._encoder.embed(mirrored, branch)
        unit: Vectors = both / np.linalg.norm(both, axis=1, keepdims=True).clip(1e-12)
        return unit
