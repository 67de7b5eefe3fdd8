"""Training pairs of a set whose low-resolution images are real (CAVIAR): "we directly send the images into the
model" (paper, IV-C), so nothing is made low and nothing is super-resolved.

A pair is two pictures of one person: one by a camera of high resolution for the HR stem, one by the camera of low
resolution for the SR stem, just as gallery and probes are embedded. Which one goes with which the paper does not say:
here the n-th goes with the n-th by file name, and the shorter side starts again.
"""

from collections import defaultdict

from training.data.manifest import Entry, Manifest
from training.data.records import DatasetError


def native_pairs(manifest: Manifest) -> tuple[list[Entry], list[Entry]]:
    """The HR and the LR images, pair by pair. Raises DatasetError where a person lacks one side."""
    low_cameras = {entry.camera for entry in manifest.of("probe")}
    sides: dict[int, tuple[list[Entry], list[Entry]]] = defaultdict(lambda: ([], []))
    for entry in manifest.of("train"):
        sides[entry.identity][entry.camera in low_cameras].append(entry)
    high: list[Entry] = []
    low: list[Entry] = []
    for identity, (near, far) in sorted(sides.items()):
        if not near or not far:
            raise DatasetError(
                f"{manifest.name}: person {identity} has no image {'by' if near else 'but by'} the "
                "camera of low resolution"
            )
        for place in range(max(len(near), len(far))):
            high.append(near[place % len(near)])
            low.append(far[place % len(far)])
    return high, low
