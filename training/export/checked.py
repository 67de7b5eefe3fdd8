"""Graphs that belong together: export, measure in float32, store, measure again as stored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Generic, TypeVar

import onnx

from model.bundle.encoder import Encoder
from model.bundle.manifest import Preprocessing, SuperResolver
from model.bundle.preprocessing import Pixels
from model.bundle.session import OnnxSession, Precision, Provider, offered_providers
from model.embedder import Branch, Embedder
from model.rcan import RCAN
from training.export.gate import Limits, encoder_failures, resolver_failures
from training.export.graphs import EncoderGraph, ResolverGraph, resolver_onnx, stem_onnx, trunk_onnx
from training.export.parity import EncoderParity, ResolverParity, measure_encoder, measure_resolver
from training.export.storage import StoredPrecision, WeightStore, with_external_weights

T = TypeVar("T")
Sessions = Callable[[str], OnnxSession]  # by the name of the graph's file
_CHECKED_ON = (Provider.CPU, Provider.OPENVINO, Provider.CUDA)


@dataclass(frozen=True, slots=True)
class Checked(Generic[T]):
    """`exact` has float32 weights and runs on the CPU; `stored` is as written, on every provider at hand."""

    exact: T
    stored: Sequence[T]


class CheckedGraphs:
    """Writes graphs into the folder `bundle`, and keeps what the gate has against them in `failures`."""

    def __init__(self, bundle: Path, limits: Limits, file_limit: int) -> None:
        self.failures: list[str] = []
        self._bundle = bundle
        self._limits = limits
        self._store = WeightStore(bundle, file_limit=file_limit)

    def encoders(
        self,
        stems: Mapping[Branch, str],
        trunk: str,
        embedder: Embedder,
        spec: Preprocessing,
        precision: StoredPrecision,
        images: Mapping[Branch, Pixels],
    ) -> list[Checked[EncoderParity]]:
        """Each branch through its stem and the trunk, by their files' names; in the order of `images`."""
        models = {file: stem_onnx(embedder, branch, spec) for branch, file in stems.items()}
        models[trunk] = trunk_onnx(embedder, spec)

        def measure(session: Sessions) -> list[EncoderParity]:
            shared = session(trunk)
            return [
                measure_encoder(
                    Encoder(session(stems[branch]), shared).run, EncoderGraph(embedder, branch, spec), seen
                )
                for branch, seen in images.items()
            ]

        both = self._write(models, precision, measure)
        each = [Checked(exact, stored) for exact, *stored in zip(both.exact, *both.stored, strict=True)]
        for branch, checked in zip(images, each, strict=True):
            self.failures += encoder_failures(stems[branch], checked.exact, "float32", self._limits)
            for parity in checked.stored:
                self.failures += encoder_failures(stems[branch], parity, precision, self._limits)
        return each

    def resolver(
        self, entry: SuperResolver, rcan: RCAN, precision: StoredPrecision, images: Pixels
    ) -> Checked[ResolverParity]:
        network, file = ResolverGraph(rcan, entry.scale), entry.file
        checked = self._write(
            {file: resolver_onnx(rcan, entry.scale, entry.height, entry.width)},
            precision,
            lambda session: measure_resolver(session(file).run, network, images),
        )
        self.failures += resolver_failures(file, checked.exact, "float32", self._limits)
        for parity in checked.stored:
            self.failures += resolver_failures(file, parity, precision, self._limits)
        return checked

    def _write(
        self,
        models: Mapping[str, onnx.ModelProto],
        precision: StoredPrecision,
        measure: Callable[[Sessions], T],
    ) -> Checked[T]:
        exact = None if precision == "float32" else self._measured_exactly(models, measure)
        _save(models, self._bundle, self._store, precision)
        providers = [p for p in _CHECKED_ON if p in offered_providers()]
        stored = [measure(partial(_session, self._bundle, p)) for p in providers]
        return Checked(stored[0] if exact is None else exact, stored)

    def _measured_exactly(self, models: Mapping[str, onnx.ModelProto], measure: Callable[[Sessions], T]) -> T:
        with TemporaryDirectory(dir=self._bundle.parent) as folder:
            store = WeightStore(Path(folder), file_limit=self._store.file_limit)
            _save(models, Path(folder), store, "float32")
            return measure(partial(_session, Path(folder), Provider.CPU))


def _session(folder: Path, provider: Provider, name: str) -> OnnxSession:
    return OnnxSession(folder / name, provider, precision=Precision.FLOAT32)


def _save(
    models: Mapping[str, onnx.ModelProto], folder: Path, store: WeightStore, precision: StoredPrecision
) -> None:
    for name, model in models.items():
        path = folder / name
        stored = with_external_weights(model, store, precision)
        path.write_bytes(stored.SerializeToString(deterministic=True))
        onnx.checker.check_model(path)
