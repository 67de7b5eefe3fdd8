"""The training identities that RCAN is not trained on: which of its weights are best is decided on their images.

Test identities take no part in that decision. Which they are follows from a hash of (seed, identity), so that it is
the same under every protocol of a data set.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.data.manifest import Entry, Manifest
from training.data.records import DatasetError

VALIDATION_NAME = "validation.json"
SHARE = 0.04  # of the training identities
IMAGES = 512  # that a PSNR is measured on


@dataclass(frozen=True, slots=True)
class Division:
    """The training images of a manifest, divided. No identity is on both sides."""

    train: tuple[Entry, ...]
    validation: tuple[Entry, ...]
    identities: tuple[int, ...]  # those of `validation`

    @property
    def described(self) -> dict[str, object]:
        """What is held out, for files."""
        return {"identities": list(self.identities), "images": len(self.validation)}

    def __str__(self) -> str:
        named = ", ".join(map(str, self.identities))
        return f"{len(self.identities)} training identities ({named}), {len(self.validation)} of their images"


def divide(manifest: Manifest) -> Division:
    """Raises DatasetError where one identity would be all that there is to train on."""
    images: dict[int, list[Entry]] = defaultdict(list)
    for entry in manifest.of("train"):
        images[entry.identity].append(entry)
    if len(images) < 2:
        raise DatasetError(
            f"{manifest.name}: RCAN needs two training identities, one of them to choose its best weights on; "
            f"the manifest has {len(images)}"
        )
    drawn = sorted(images, key=lambda identity: _hash(manifest.seed, identity))
    chosen = drawn[:1]
    for identity in drawn[1 : round(SHARE * len(images))]:
        if sum(len(images[other]) for other in (*chosen, identity)) > IMAGES:
            break
        chosen.append(identity)
    held = [entry for entry in manifest.of("train") if entry.identity in chosen]
    rest = tuple(entry for entry in manifest.of("train") if entry.identity not in chosen)
    return Division(rest, tuple(spread(held)), tuple(sorted(chosen)))


def spread(entries: Sequence[Entry]) -> Sequence[Entry]:
    """All of them, or every n-th where they are at least 2 * IMAGES."""
    return entries[:: max(1, len(entries) // IMAGES)]


def write_division(division: Division, folder: Path) -> None:
    (folder / VALIDATION_NAME).write_text(_text(division), encoding="utf-8")


def check_division(division: Division, folder: Path) -> None:
    """Raises DatasetError where the run that `folder` holds was divided in another way, or not at all."""
    path = folder / VALIDATION_NAME
    if not path.is_file() or path.read_text(encoding="utf-8") != _text(division):
        raise DatasetError(
            f"{folder}: the run there was not started with these training identities held out (earlier versions "
            "chose RCAN's best weights on test identities), so it cannot go on; choose another folder (--out)"
        )


def _text(division: Division) -> str:
    return json.dumps(division.described, indent=2) + "\n"


def _hash(seed: int, identity: int) -> bytes:
    return hashlib.sha256(f"{seed}\nvalidation\n{identity}".encode()).digest()
