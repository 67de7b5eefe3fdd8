"""The two sides of every training pair, from the caches where they are there."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from training.config import ConfigError, DGRLRecipe
from training.data.manifest import Entry, Manifest
from training.estimate import Unmade
from training.native_pairs import native_pairs
from training.packed import Size, high_resolution, high_resolution_path
from training.pair_store import Pairs
from training.super_resolve import Enlargement, made_by, super_resolved, super_resolved_path


@dataclass(frozen=True, slots=True)
class Data:
    """A dataset under a manifest, and where decoded images are kept."""

    root: Path
    manifest: Manifest
    cache: Path


def check_enlargement(manifest: Manifest, rcan: Path | None, bilinear: bool) -> None:
    """Raises ConfigError unless it is clear what makes the SR twins."""
    if not manifest.has_native_pairs:
        if (rcan is None) != bilinear:
            raise ConfigError("give either --rcan WEIGHTS or --bilinear")
    elif rcan is not None or bilinear:
        raise ConfigError(
            f"{manifest.name}: its low-resolution images are real and go into the network as they are: "
            "leave out --rcan and --bilinear"
        )


def make_pairs(recipe: DGRLRecipe, data: Data, enlarge: Enlargement | None, device: torch.device) -> Pairs:
    """HR crops and their SR twins; a native set's two sides where `enlarge` is None."""
    size = (recipe.model.height, recipe.model.width)
    sharp, low = _sides(data.manifest)
    hr = high_resolution(data.root, data.manifest, sharp, size, data.cache)
    if enlarge is None:
        sr = high_resolution(data.root, data.manifest, low, size, data.cache)
        return Pairs(hr, sr, _labels(sharp), "native")
    sr = super_resolved(
        data.root,
        data.manifest,
        low,
        enlarge,
        reference=recipe.hr_reference,
        size=size,
        cache=data.cache,
        device=device,
    )
    return Pairs(hr, sr, _labels(sharp), made_by(enlarge))


def pair_labels(manifest: Manifest) -> list[int]:
    """The label of each pair that `make_pairs` will make: 0..identities-1."""
    return _labels(_sides(manifest)[0])


def unmade_pairs(recipe: DGRLRecipe, data: Data, enlarge: Enlargement | None) -> Unmade:
    """What `make_pairs` will have to write."""
    size = (recipe.model.height, recipe.model.width)
    sharp, low = _sides(data.manifest)
    count = unmade(data, sharp, size)
    if enlarge is None:
        return Unmade(data.cache, count + unmade(data, low, size), size)
    path = super_resolved_path(data.manifest, low, enlarge, recipe.hr_reference, size, data.cache)
    if path.is_file():
        return Unmade(data.cache, count, size)
    return Unmade(data.cache, count + len(low), size, Counter(entry.r for entry in low))


def unmade(data: Data, entries: Sequence[Entry], size: Size) -> int:
    """How many of the HR crops the cache does not hold: all or none."""
    there = high_resolution_path(data.manifest, entries, size, data.cache).is_file()
    return 0 if there else len(entries)


def _sides(manifest: Manifest) -> tuple[Sequence[Entry], Sequence[Entry]]:
    """The images of the HR and of the SR side, pair by pair."""
    if manifest.has_native_pairs:
        return native_pairs(manifest)
    return manifest.of("train"), manifest.of("train")


def _labels(entries: Sequence[Entry]) -> list[int]:
    numbers = {identity: n for n, identity in enumerate(sorted({entry.identity for entry in entries}))}
    return [numbers[entry.identity] for entry in entries]
