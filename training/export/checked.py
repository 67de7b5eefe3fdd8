"""One graph at a time: export, measure in float32, store, measure again as stored."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Generic, TypeVar

import onnx

from model.bundle.manifest import Preprocessing, SuperResolver
from model.bundle.preprocessing import Pixels
from model.bundle.session import OnnxSession, Precision, Provider, offered_providers
from model.embedder import Branch, Embedder
from model.rcan import RCAN
from training.export.gate import Limits, encoder_failures, resolver_failures
from training.export.graphs import EncoderGraph, ResolverGraph, encoder_onnx, resolver_onnx
from training.export.parity import EncoderParity, ResolverParity, measure_encoder, measure_resolver
from training.export.storage import StoredPrecision, WeightStore, with_external_weights

T = TypeVar("T")
_CHECKED_ON = (Provider.CPU, Provider.OPENVINO, Provider.CUDA)


@dataclass(frozen=True, slots=True)
class Checked(Generic[T]):
    """`exact` has float32 weights and runs on the CPU; `stored` is as written, on every provider at hand."""

    exact: T
    stored: tuple[T, ...]


class CheckedGraphs:
    """Writes graphs into the folder `bundle`, and keeps what the gate has against them in `failures`."""

    def __init__(self, bundle: Path, limits: Limits, file_limit: int) -> None:
        self.failures: list[str] = []
        self._bundle = bundle
        self._limits = limits
        self._store = WeightStore(bundle, file_limit=file_limit)

    def encoder(
        self,
        file: str,
        embedder: Embedder,
        branch: Branch,
        spec: Preprocessing,
        precision: StoredPrecision,
        images: Pixels,
    ) -> Checked[EncoderParity]:
        network = EncoderGraph(embedder, branch, spec)
        checked = self._write(
            encoder_onnx(embedder, branch, spec),
            file,
            precision,
            lambda session: measure_encoder(session, network, images),
        )
        self.failures += encoder_failures(file, checked.exact, "float32", self._limits)
        for parity in checked.stored:
            self.failures += encoder_failures(file, parity, precision, self._limits)
        return checked

    def resolver(
        self, entry: SuperResolver, rcan: RCAN, precision: StoredPrecision, images: Pixels
    ) -> Checked[ResolverParity]:
        network, file = ResolverGraph(rcan, entry.scale), entry.file
        checked = self._write(
            resolver_onnx(rcan, entry.scale, entry.height, entry.width),
            file,
            precision,
            lambda session: measure_resolver(session, network, images),
        )
        self.failures += resolver_failures(file, checked.exact, "float32", self._limits)
        for parity in checked.stored:
            self.failures += resolver_failures(file, parity, precision, self._limits)
        return checked

    def _write(
        self,
        model: onnx.ModelProto,
        file: str,
        precision: StoredPrecision,
        measure: Callable[[OnnxSession], T],
    ) -> Checked[T]:
        exact = None if precision == "float32" else self._measured_exactly(model, measure)
        _save(with_external_weights(model, self._store, precision), self._bundle / file)
        providers = [p for p in _CHECKED_ON if p in offered_providers()]
        stored = tuple(measure(_session(self._bundle / file, p)) for p in providers)
        return Checked(stored[0] if exact is None else exact, stored)

    def _measured_exactly(self, model: onnx.ModelProto, measure: Callable[[OnnxSession], T]) -> T:
        with TemporaryDirectory(dir=self._bundle.parent) as folder:
            store = WeightStore(Path(folder), file_limit=self._store.file_limit)
            _save(with_external_weights(model, store, "float32"), Path(folder) / "graph.onnx")
            return measure(_session(Path(folder) / "graph.onnx", Provider.CPU))


def _session(path: Path, provider: Provider) -> OnnxSession:
    return OnnxSession(path, provider, precision=Precision.FLOAT32)


def _save(model: onnx.ModelProto, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString(deterministic=True))
    onnx.checker.check_model(path)
