"""Decoded images held once: an uint8 array on disk, mapped into memory, keyed by what it was made from."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from model.bundle.preprocessing import Pixels, resize
from training.data.images import read_images
from training.data.manifest import Entry, Manifest

Size = tuple[int, int]  # height, width


def cache_key(kind: str, manifest: Manifest, **settings: Any) -> str:
    """The name of a cache file: it changes whenever anything that the pixels depend on does."""
    text = json.dumps([kind, manifest.digest, settings], sort_keys=True)
    return f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def fitted(image: Pixels, size: Size) -> Pixels:
    """The image at `size` (height, width), by the one resize of training, evaluation and service."""
    return image if image.shape[:2] == size else resize(Image.fromarray(image), *size)


def write_packed(path: Path, images: Iterator[Pixels], count: int, size: Size) -> Pixels:
    """Write `count` images of one size as .npy, atomically, and map it.

    Of several runs that want the same file at once one writes it, and the others wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.is_file():
            _write(path, images, count, size)
    return read_packed(path)


def _write(path: Path, images: Iterator[Pixels], count: int, size: Size) -> None:
    temporary = path.with_name(path.name + ".tmp")
    packed = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.uint8, shape=(count, *size, 3))
    for position, image in enumerate(images):
        packed[position] = image
    packed.flush()
    del packed
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def read_packed(path: Path) -> Pixels:
    """Map a packed array read-only."""
    packed: Pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    return packed


def high_resolution(
    root: Path, manifest: Manifest, entries: Sequence[Entry], size: Size, cache: Path
) -> Pixels:
    """The HR crops of `entries` at `size`: uint8 (N, height, width, 3), from the cache or decoded now."""
    path = high_resolution_path(manifest, entries, size, cache)
    if path.is_file():
        return read_packed(path)
    images = (fitted(image, size) for image in read_images(root, [entry.file for entry in entries]))
    return write_packed(path, images, len(entries), size)


def high_resolution_path(manifest: Manifest, entries: Sequence[Entry], size: Size, cache: Path) -> Path:
    """Where `high_resolution` keeps them."""
    return cache / f"{cache_key('hr', manifest, size=size, files=files_digest(entries))}.npy"


def files_digest(entries: Sequence[Entry]) -> str:
    """A hash of which images, in order."""
    return hashlib.sha256("\n".join(entry.file for entry in entries).encode()).hexdigest()
