"""The SR twin of every training image: pixel-area LR at its manifest's r, RCAN, rounded to uint8; computed once.

The cache is keyed by the manifest and the RCAN weights. Training sees the very pixels that the service would make.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from model.bundle.preprocessing import Pixels
from model.rcan import RCAN, to_pixels
from training.data.images import low_resolution, read_images
from training.data.manifest import Entry, Manifest
from training.device import channels_last, pixels_to_tensor
from training.packed import Size, cache_key, files_digest, fitted, read_packed, write_packed

Enlargement = RCAN | Literal["bilinear"]
_CHUNK = 256


def super_resolved(
    root: Path,
    manifest: Manifest,
    entries: Sequence[Entry],
    enlarge: Enlargement,
    *,
    reference: Size,
    size: Size,
    cache: Path,
    device: torch.device,
) -> Pixels:
    """uint8 (N, *size, 3) in the order of `entries`. `reference` is the HR size that the native buckets come from.

    `bilinear` leaves RCAN out and enlarges plainly: the row that shows what super-resolution adds.
    """
    path = super_resolved_path(manifest, entries, enlarge, reference, size, cache)
    if path.is_file():
        return read_packed(path)
    return write_packed(path, _enlarged(root, entries, enlarge, reference, size, device), len(entries), size)


def super_resolved_path(
    manifest: Manifest,
    entries: Sequence[Entry],
    enlarge: Enlargement,
    reference: Size,
    size: Size,
    cache: Path,
) -> Path:
    """Where `super_resolved` keeps them."""
    key = cache_key(
        "sr", manifest, by=made_by(enlarge), files=files_digest(entries), size=size, reference=reference
    )
    return cache / f"{key}.npy"


def made_by(enlarge: Enlargement) -> str:
    """`bilinear`, or the digest of the network's weights."""
    return "bilinear" if enlarge == "bilinear" else weights_digest(enlarge)


def weights_digest(network: RCAN) -> str:
    """A hash of the architecture's tensors, in order."""
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().float().contiguous().numpy().tobytes())
    return digest.hexdigest()


def bucket(reference: Size, r: int) -> Size:
    """The native LR size of factor r: 128x64 gives 64x32, 42x21, 32x16."""
    return reference[0] // r, reference[1] // r


def _enlarged(
    root: Path,
    entries: Sequence[Entry],
    enlarge: Enlargement,
    reference: Size,
    size: Size,
    device: torch.device,
) -> Iterator[Pixels]:
    low = map(low_resolution, read_images(root, [e.file for e in entries]), [e.r for e in entries])
    if enlarge == "bilinear":
        yield from (fitted(image, size) for image in low)
        return
    network = channels_last(enlarge.to(device).eval())
    for start in range(0, len(entries), _CHUNK):
        chunk = entries[start : start + _CHUNK]
        images = [fitted(next(low), bucket(reference, entry.r)) for entry in chunk]
        large: list[Pixels] = [np.empty(0, np.uint8)] * len(chunk)
        for r in {entry.r for entry in chunk}:
            positions = [i for i, entry in enumerate(chunk) if entry.r == r]
            pixels = enlarged_batch(network, np.stack([images[i] for i in positions]), r, device)
            for position, image in zip(positions, pixels, strict=True):
                large[position] = fitted(image, size)
        yield from large


@torch.inference_mode()
def enlarged_batch(network: RCAN, images: Pixels, scale: int, device: torch.device) -> Pixels:
    """uint8 (N, h, w, 3) to uint8 (N, scale*h, scale*w, 3)."""
    y: Tensor = to_pixels(network(pixels_to_tensor(images, device), scale))
    pixels: Pixels = y.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    return pixels
