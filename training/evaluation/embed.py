"""From image files to vectors: decode and make low in threads, super-resolve and embed in batches."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.bundle.preprocessing import Pixels
from model.bundle.routing import Route
from training.data.images import low_resolution, map_ahead, read_image
from training.data.manifest import Entry
from training.evaluation.encoders import Encoder, Vectors, Way
from training.evaluation.scorers import Labels
from training.packed import fitted

Advance = Callable[[int], None]
_BATCH = 32


@dataclass(frozen=True)
class Embedded:
    """The images of one side, in the manifest's order."""

    files: tuple[str, ...]  # relative to the dataset's root
    vectors: Vectors  # (N, D), unit rows
    labels: Labels
    factors: NDArray[np.int64]  # r; 1 where the image was left as it is
    heights: NDArray[np.int64]  # in pixels, after down-sampling


@dataclass(frozen=True)
class _Prepared:
    position: int
    route: Route
    pixels: Pixels  # the super-resolver's bucket, or the encoder's input
    height: int


def embed(
    root: Path,
    entries: Sequence[Entry],
    encoder: Encoder,
    way: Way,
    *,
    factors: Sequence[int] | None = None,
    threads: int = 2,
    advance: Advance = lambda done: None,
) -> Embedded:
    """`factors` stand in for the manifest's r (all 1: sharp probes). DatasetError names a bad file."""
    applied = [entry.r for entry in entries] if factors is None else list(factors)

    def prepare(position: int) -> _Prepared:
        image = low_resolution(read_image(root / entries[position].file), applied[position])
        route = way(len(image))
        return _Prepared(position, route, fitted(image, route.bucket or encoder.size), len(image))

    vectors: list[Vectors] = [np.empty(0, np.float32)] * len(entries)
    heights = np.zeros(len(entries), np.int64)
    prepared = map_ahead(prepare, range(len(entries)), threads=threads)
    with ThreadPoolExecutor(threads) as pool:
        while batch := list(islice(prepared, _BATCH)):
            for item, vector in _embed_batch(batch, encoder, pool):
                vectors[item.position] = vector
                heights[item.position] = item.height
            advance(len(batch))
    return Embedded(
        tuple(entry.file for entry in entries),
        np.stack(vectors) if vectors else np.empty((0, 0), np.float32),
        Labels(_column(e.identity for e in entries), _column(e.camera for e in entries)),
        _column(applied),
        heights,
    )


def _embed_batch(
    batch: Sequence[_Prepared], encoder: Encoder, pool: Executor
) -> Iterator[tuple[_Prepared, Vectors]]:
    groups: dict[Route, list[_Prepared]] = defaultdict(list)
    for item in batch:
        groups[item.route].append(item)
    for route, items in groups.items():
        pixels = np.stack([item.pixels for item in items])
        if route.scale is not None:
            large = encoder.super_resolve(pixels, route.scale)
            pixels = np.stack(list(pool.map(lambda image: fitted(image, encoder.size), large)))
        yield from zip(items, encoder.embed(pixels, route.branch), strict=True)


def _column(values: Iterator[int] | Sequence[int]) -> NDArray[np.int64]:
    return np.fromiter(values, np.int64)
