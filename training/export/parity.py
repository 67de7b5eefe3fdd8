"""The gate's measurements: what ONNX Runtime gives against what PyTorch gives, on the same pixels."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.bundle.preprocessing import Pixels
from training.export.graphs import EncoderGraph, ResolverGraph

BATCHES = (1, 2, 7, 32)
Run = Callable[[Pixels], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class EncoderParity:
    """One encoder on N crops; cosines are against eager PyTorch on the same crop."""

    max_difference: float  # over all batch sizes
    min_cosine: float  # over all batch sizes
    max_batch_difference: float  # a row of a batch against the same crop alone
    max_norm_error: float  # of ONNX's rows, against 1
    swapped_cosine: float  # mean, with red and blue exchanged in ONNX's input


@dataclass(frozen=True, slots=True)
class ResolverParity:
    """One super-resolver, in grey levels of the 8-bit result."""

    max_levels: int
    differing: float  # share of samples that differ at all
    mean_levels: float


def measure_encoder(run: Run, network: EncoderGraph, images: Pixels) -> EncoderParity:
    """At each of BATCHES, over all images."""
    eager = run_eager(network, images)
    singles = in_batches(run, images, 1)
    runs = [singles, *(in_batches(run, images, n) for n in BATCHES[1:])]
    swapped = in_batches(run, np.ascontiguousarray(images[..., ::-1]), BATCHES[-1])
    return EncoderParity(
        max_difference=max(float(np.abs(run - eager).max()) for run in runs),
        min_cosine=min(float(_cosines(run, eager).min()) for run in runs),
        max_batch_difference=max(float(np.abs(run - singles).max()) for run in runs),
        max_norm_error=max(float(np.abs(np.linalg.norm(run, axis=1) - 1).max()) for run in runs),
        swapped_cosine=float(_cosines(swapped, eager).mean()),
    )


def measure_resolver(run: Run, network: ResolverGraph, images: Pixels) -> ResolverParity:
    """At each of BATCHES, over all images."""
    eager = run_eager(network, images).astype(np.int16)
    apart = [np.abs(in_batches(run, images, n).astype(np.int16) - eager) for n in BATCHES]
    return ResolverParity(
        max_levels=max(int(d.max()) for d in apart),
        differing=max(float((d > 0).mean()) for d in apart),
        mean_levels=max(float(d.mean()) for d in apart),
    )


def in_batches(run: Run, images: Pixels, size: int) -> NDArray[Any]:
    """The results for all images, run `size` at a time; the last batch may be smaller."""
    return np.concatenate([run(images[i : i + size]) for i in range(0, len(images), size)])


def run_eager(network: EncoderGraph | ResolverGraph, images: Pixels) -> NDArray[Any]:
    """What PyTorch gives, in batches."""

    @torch.inference_mode()
    def run(batch: Pixels) -> NDArray[Any]:
        result: NDArray[Any] = network.eval()(torch.from_numpy(batch)).numpy()
        return result

    return in_batches(run, images, BATCHES[-1])


def _cosines(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    a, b = a.astype(np.float64), b.astype(np.float64)
    cosines: NDArray[np.float64] = (a * b).sum(axis=1) / (
        np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    )
    return cosines
