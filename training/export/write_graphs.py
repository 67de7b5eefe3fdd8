"""All graphs of a bundle, checked on the pixels that each will see in service."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from model.bundle.manifest import Encoders, Parity, Preprocessing, SuperResolver
from model.bundle.preprocessing import Pixels
from model.embedder import Branch
from model.rcan import RCAN
from training.export.checked import Checked, CheckedGraphs
from training.export.config import ExportConfig, Networks
from training.export.gate import GateFailed
from training.export.graphs import ResolverGraph
from training.export.parity import BATCHES, EncoderParity, ResolverParity, run_eager
from training.export.pictures import Bucket, as_input, as_low_resolution

Say = Callable[[str], None]
_STEMS: dict[Branch, str] = {"hr": "hr.onnx", "sr": "sr.onnx"}
_TRUNK = "trunk.onnx"
ENCODERS = Encoders(hr=_STEMS["hr"], sr=_STEMS["sr"], trunk=_TRUNK)


@dataclass(frozen=True, slots=True)
class Written:
    """The manifest's part about the graphs."""

    spec: Preprocessing
    super_resolution: tuple[SuperResolver, ...]
    parity: Parity


def write_graphs(
    networks: Networks, crops: Sequence[Image.Image], folder: Path, config: ExportConfig, say: Say
) -> Written:
    """Raises GateFailed with everything that is wrong, after all graphs have been measured."""
    embedder = networks.embedder.eval()
    spec = Preprocessing(height=embedder.config.height, width=embedder.config.width)
    graphs = CheckedGraphs(folder, config.limits, config.file_limit)
    sharp = as_input(crops, spec.height, spec.width)
    enlarged = []
    resolvers: dict[SuperResolver, Checked[ResolverParity]] = {}
    for scale, rcan in networks.by_scale().items():
        low = as_low_resolution(crops, config.bucket(scale))
        entry = _entry(config.bucket(scale))
        resolvers[entry] = graphs.resolver(entry, rcan, config.resolver_precision, low)
        say(f"{entry.file}: {resolvers[entry].stored[0]}")
        enlarged.append(_enlarged(rcan, scale, low, spec))
    seen: dict[Branch, Pixels] = {"hr": sharp, "sr": _in_turn(enlarged or [_plainly(crops, config, spec)])}
    encoders = graphs.encoders(_STEMS, _TRUNK, embedder, spec, config.precision, seen)
    for branch, checked in zip(seen, encoders, strict=True):
        say(f"encoder {branch}: {checked.stored[0]}")
    if graphs.failures:
        raise GateFailed("\n".join(graphs.failures))
    return Written(spec, tuple(resolvers), _parity(len(crops), encoders, list(resolvers.values())))


def _entry(bucket: Bucket) -> SuperResolver:
    values = {"scale": bucket.scale, "height": bucket.height, "width": bucket.width}
    return SuperResolver.model_validate({**values, "file": f"rcan_x{bucket.scale}.onnx"})


def _enlarged(rcan: RCAN, scale: int, low: Pixels, spec: Preprocessing) -> Pixels:
    """What the SR encoder gets to see: uint8 (N, height, width, 3)."""
    images = run_eager(ResolverGraph(rcan, scale), low)
    return as_input([Image.fromarray(image) for image in images], spec.height, spec.width)


def _plainly(crops: Sequence[Image.Image], config: ExportConfig, spec: Preprocessing) -> Pixels:
    """The same without super-resolvers: small crops as large as the encoder's input."""
    low = as_low_resolution(crops, config.bucket(2))
    return as_input([Image.fromarray(image) for image in low], spec.height, spec.width)


def _in_turn(sets: Sequence[Pixels]) -> Pixels:
    """Crop i from set i modulo their number: every crop once, every scale equally often."""
    return np.stack([sets[i % len(sets)][i] for i in range(len(sets[0]))])


def _parity(
    crops: int, encoders: Sequence[Checked[EncoderParity]], resolvers: Sequence[Checked[ResolverParity]]
) -> Parity:
    stored = [parity for checked in encoders for parity in checked.stored]
    enlarging = [parity for checked in resolvers for parity in checked.stored]
    return Parity(
        crops=crops,
        batches=BATCHES,
        max_abs_difference=max(checked.exact.max_difference for checked in encoders),
        min_cosine=min(checked.exact.min_cosine for checked in encoders),
        min_cosine_stored=min(parity.min_cosine for parity in stored),
        max_batch_difference=max(parity.max_batch_difference for parity in stored),
        swapped_cosine=max(parity.swapped_cosine for parity in stored),
        resolver_max_levels=max((parity.max_levels for parity in enlarging), default=None),
        resolver_differing=max((parity.differing for parity in enlarging), default=None),
    )
