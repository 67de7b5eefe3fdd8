"""Which super-resolver and stem a probe takes, by its height."""

from pathlib import Path

import pytest

from model.bundle.manifest import Manifest, SuperResolver
from model.bundle.routing import Route, SuperResolution, route
from model.bundle.runtime import Bundle

X4, X3, X2 = Route(4, "sr", (32, 16)), Route(3, "sr", (42, 21)), Route(2, "sr", (64, 32))
SHARP = Route(None, "hr", None)


@pytest.fixture(scope="module")
def manifest(tiny_bundle: Path) -> Manifest:
    """The shipped bundle's buckets."""
    buckets = {4: (32, 16), 3: (42, 21), 2: (64, 32)}
    resolvers = tuple(
        SuperResolver(scale=scale, height=height, width=width, file=f"rcan_x{scale}.onnx")
        for scale, (height, width) in buckets.items()
    )
    tiny = Bundle.load(tiny_bundle).manifest
    return tiny.model_copy(update={"super_resolution": resolvers, "hr_reference_height": 128})


@pytest.mark.parametrize(
    ("height", "expected"),
    [
        (1, X4), (20, X4), (32, X4), (36, X4),
        (37, X3), (42, X3), (51, X3),
        (52, X2), (64, X2), (90, X2),  # sqrt(64 * 128) = 90.5
        (91, SHARP), (128, SHARP), (1000, SHARP),
    ],
)  # fmt: skip
def test_a_probe_goes_to_the_nearest_bucket_in_log_height(
    manifest: Manifest, height: int, expected: Route
) -> None:
    assert route(height, manifest) == expected


@pytest.mark.parametrize(("requested", "expected"), [(2, X2), (3, X3), (4, X4)])
@pytest.mark.parametrize("height", [20, 64, 300])
def test_a_requested_scale_is_taken_whatever_the_height(
    manifest: Manifest, height: int, requested: SuperResolution, expected: Route
) -> None:
    assert route(height, manifest, requested) == expected


def test_off_keeps_the_branch(manifest: Manifest) -> None:
    assert route(40, manifest, "off") == Route(None, "sr", None)
    assert route(120, manifest, "off") == SHARP


def test_a_scale_that_is_not_held_is_refused(manifest: Manifest) -> None:
    fewer = manifest.model_copy(update={"super_resolution": manifest.super_resolution[:1]})
    with pytest.raises(ValueError, match="no super-resolver of scale 2; it has: 4"):
        route(64, fewer, 2)


@pytest.mark.parametrize("requested", ["auto", "off"])
def test_without_super_resolvers_small_probes_are_enlarged_plainly(
    manifest: Manifest, requested: SuperResolution
) -> None:
    without = manifest.model_copy(update={"super_resolution": ()})
    plain = Route(None, "sr", None)
    assert [route(height, without, requested) for height in (1, 20, 90)] == [plain] * 3
    assert [route(height, without, requested) for height in (91, 128, 1000)] == [SHARP] * 3
    with pytest.raises(ValueError, match="no super-resolver of scale 2; it has: none"):
        route(20, without, 2)


def test_a_height_of_zero_is_refused(manifest: Manifest) -> None:
    with pytest.raises(ValueError, match="at least 1 pixel"):
        route(0, manifest)
