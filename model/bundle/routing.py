"""Which way a probe takes through the bundle, by its height: which super-resolver, and which stem.

A probe goes to the native bucket that is nearest in log height. The HR reference height competes with the
buckets: a probe nearer to it (or above it) is sharp enough, skips super-resolution and uses the HR stem.

A bundle without super-resolvers was trained on small pictures as they are: small probes are enlarged plainly and use
the SR stem. For where they begin, half the reference stands in for the buckets.
"""

import math
from dataclasses import dataclass
from typing import Literal

from model.bundle.manifest import Manifest, SuperResolver

Branch = Literal["hr", "sr"]
SuperResolution = Literal["auto", "off", 2, 3, 4]


@dataclass(frozen=True, slots=True)
class Route:
    """`scale` and `bucket` (height, width) are None where super-resolution is skipped."""

    scale: int | None
    branch: Branch
    bucket: tuple[int, int] | None


def route(height: int, manifest: Manifest, requested: SuperResolution = "auto") -> Route:
    """The way of a probe of `height` pixels.

    `off` skips super-resolution only: a probe of low resolution still uses the SR stem, upscaled plainly.
    A number asks for that scale whatever the height; ValueError where the bundle lacks it.
    """
    if height < 1:
        raise ValueError(f"a probe is at least 1 pixel high, not {height}")
    if requested != "auto" and requested != "off":
        return _through(_by_scale(manifest, requested))
    if _is_sharp(height, manifest):
        return Route(None, "hr", None)
    if requested == "off" or not manifest.super_resolution:
        return Route(None, "sr", None)
    return _through(min(manifest.super_resolution, key=lambda s: (_apart(height, s.height), s.scale)))


def _is_sharp(height: int, manifest: Manifest) -> bool:
    """Whether the HR reference is at least as near as the nearest bucket; it wins a tie, as the cheaper way."""
    reference = manifest.hr_reference_height
    buckets: list[float] = [resolver.height for resolver in manifest.super_resolution]
    return height >= reference or _apart(height, reference) <= min(
        _apart(height, low) for low in buckets or [reference / 2]
    )


def _apart(height: float, other: float) -> float:
    return abs(math.log(height / other))


def _by_scale(manifest: Manifest, scale: Literal[2, 3, 4]) -> SuperResolver:
    for resolver in manifest.super_resolution:
        if resolver.scale == scale:
            return resolver
    held = ", ".join(str(s.scale) for s in manifest.super_resolution) or "none"
    raise ValueError(f"the bundle has no super-resolver of scale {scale}; it has: {held}")


def _through(resolver: SuperResolver) -> Route:
    return Route(resolver.scale, "sr", (resolver.height, resolver.width))
