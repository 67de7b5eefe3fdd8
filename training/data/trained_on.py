"""Which images weights were trained on: a file in a run's folder, and in the bundle that is made of its weights.

The file is a line of JSON, then the first 8 bytes of each image's sha256 in rising order: 100 KB for 12,936 images.
Who has an image can see whether it was trained on; of other images the file tells nothing.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from model.bundle.runtime import Bundle
from training.data.manifest import RUN_MANIFEST, Entry, Manifest, read_manifest
from training.data.records import DatasetError

TRAINED_ON = "trained_on.bin"
_BYTES = 8  # of each sha256: among millions of images no two are mistaken for each other


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """`sets` name the manifests that `images` come from, `unknown` the weights that took part and do not say."""

    sets: tuple[str, ...] = ()
    images: frozenset[bytes] = frozenset()
    unknown: tuple[str, ...] = ()

    def __or__(self, other: "TrainedOn") -> "TrainedOn":
        return TrainedOn(
            tuple(dict.fromkeys(self.sets + other.sets)),
            self.images | other.images,
            tuple(dict.fromkeys(self.unknown + other.unknown)),
        )

    def __str__(self) -> str:
        known = f"{len(self.images):,} images of {', '.join(self.sets)}" if self.sets else ""
        unknown = f"not known of {', '.join(self.unknown)}" if self.unknown else ""
        return "; ".join(part for part in (known, unknown) if part) or "no images"

    def has(self, entry: Entry) -> bool:
        return _short(entry) in self.images


def of_manifest(manifest: Manifest) -> TrainedOn:
    """Its training images, those that RCAN's best weights are chosen on with them."""
    return TrainedOn((manifest.name,), frozenset(map(_short, manifest.of("train"))))


def of_weights(path: Path) -> TrainedOn:
    """What is known of a weights file, by what lies beside it, or of a bundle's folder. Raises BundleError."""
    if path.is_dir():
        bundle = Bundle.load(path).manifest
        known = TRAINED_ON in bundle.files
        return (
            read_trained_on(path / TRAINED_ON) if known else TrainedOn(unknown=(f"the bundle {bundle.name}",))
        )
    if (path.parent / TRAINED_ON).is_file():
        return read_trained_on(path.parent / TRAINED_ON)
    if (path.parent / RUN_MANIFEST).is_file():  # a run from before the list was kept
        return of_manifest(read_manifest(path.parent / RUN_MANIFEST))
    return TrainedOn(unknown=(path.name,))


def write_trained_on(trained: TrainedOn, folder: Path) -> None:
    header = {"format": 1, "sets": trained.sets, "unknown": trained.unknown, "images": len(trained.images)}
    temporary = folder / f"{TRAINED_ON}.tmp"
    temporary.write_bytes(json.dumps(header).encode() + b"\n" + b"".join(sorted(trained.images)))
    temporary.replace(folder / TRAINED_ON)


def read_trained_on(file: Path) -> TrainedOn:
    """Raises DatasetError where the file is damaged."""
    first, _, rest = file.read_bytes().partition(b"\n")
    try:
        header = json.loads(first)
        images = frozenset(rest[start : start + _BYTES] for start in range(0, len(rest), _BYTES))
        if header["format"] != 1 or len(rest) != _BYTES * header["images"] or len(images) != header["images"]:
            raise ValueError("it is cut off, or of another version")
        return TrainedOn(tuple(header["sets"]), images, tuple(header["unknown"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f"{file}: not a list of the images that weights were trained on ({error})"
        ) from error


def _short(entry: Entry) -> bytes:
    return bytes.fromhex(entry.sha256)[:_BYTES]
