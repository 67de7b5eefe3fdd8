"""One ONNX Runtime session: the provider that was asked for, or an error; never another one in silence."""

import contextlib
import io
import json
import logging
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from model.bundle.cpu import cpu_flags, has_bfloat16, require_avx2, usable_cores

log = logging.getLogger(__name__)


class Provider(StrEnum):
    """`auto` is the first of CUDA, OpenVINO and CPU that this machine grants."""

    AUTO = "auto"
    CPU = "cpu"
    OPENVINO = "openvino"
    CUDA = "cuda"
    TENSORRT = "tensorrt"


class Precision(StrEnum):
    """`auto` is bfloat16 on OpenVINO where the processor has it, TF32 on CUDA, else float32."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class ProviderNotGranted(RuntimeError):
    """What was asked for, provider or precision, is not to be had here; the message says what is."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """`threads` None takes every usable core; `gpu_memory_limit` is in bytes, per session."""

    provider: Provider = Provider.AUTO
    precision: Precision = Precision.AUTO
    threads: int | None = None
    gpu_memory_limit: int | None = None


_NAMES = {
    Provider.CPU: "CPUExecutionProvider",
    Provider.OPENVINO: "OpenVINOExecutionProvider",
    Provider.CUDA: "CUDAExecutionProvider",
    Provider.TENSORRT: "TensorrtExecutionProvider",
}
_AUTO_ORDER = (Provider.CUDA, Provider.OPENVINO, Provider.CPU)


class OnnxSession:
    """One input, one output. Safe to `run` from several threads at once."""

    def __init__(
        self,
        path: Path,
        provider: Provider = Provider.AUTO,
        *,
        threads: int | None = None,
        precision: Precision = Precision.AUTO,
        gpu_memory_limit: int | None = None,
    ) -> None:
        require_avx2(cpu_flags())
        options = SessionOptions(provider, precision, threads or usable_cores(), gpu_memory_limit)
        self._session, granted, self.precision = _open(path, options)
        self.granted: str = granted.value
        self._input = self._session.get_inputs()[0].name
        self._output = self._session.get_outputs()[0].name
        self._memory = "cuda" if granted in (Provider.CUDA, Provider.TENSORRT) else "cpu"
        log.info("%s runs on %s in %s", path.name, self.granted, self.precision)

    def run(self, batch: NDArray[np.uint8]) -> NDArray[Any]:
        result: NDArray[Any] = self._session.run(None, {self._input: batch})[0]
        return result

    def begin(self, batch: NDArray[np.uint8]) -> ort.OrtValue:
        """As `run`, but the result stays in the memory of the device that computed it, for `take_up`."""
        binding = self._session.io_binding()
        binding.bind_cpu_input(self._input, batch)
        binding.bind_output(self._output, self._memory)
        self._session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return binding.get_outputs()[0]

    def take_up(self, value: ort.OrtValue) -> NDArray[Any]:
        """As `run`, on what another session began."""
        result: NDArray[Any] = self._session.run_with_ort_values(None, {self._input: value})[0].numpy()
        return result


def offered_providers() -> tuple[Provider, ...]:
    """The providers in the installed build of ONNX Runtime; whether one works shows only in a session."""
    built = set(ort.get_available_providers())
    return tuple(provider for provider, name in _NAMES.items() if name in built)


def _open(path: Path, options: SessionOptions) -> tuple[ort.InferenceSession, Provider, str]:
    if options.provider is not Provider.AUTO:
        return _open_on(path, options.provider, options)
    candidates = [p for p in _AUTO_ORDER if p in offered_providers()]
    for provider in candidates[:-1]:
        try:
            return _open_on(path, provider, options)
        except ProviderNotGranted as refusal:
            log.warning("%s; trying the next provider", refusal)
    return _open_on(path, candidates[-1], options)


def _open_on(
    path: Path, provider: Provider, options: SessionOptions
) -> tuple[ort.InferenceSession, Provider, str]:
    if provider not in (offered := offered_providers()):
        raise ProviderNotGranted(
            f"{provider} was asked for, but the installed ONNX Runtime offers only {', '.join(offered)}"
        )
    precision = _precision(provider, options.precision)
    if provider in (Provider.CUDA, Provider.TENSORRT):
        _load_cuda()
    try:
        session = ort.InferenceSession(
            str(path),
            _session_options(provider, options),
            providers=_provider_list(provider, precision, options),
            enable_fallback=0,
        )
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise ProviderNotGranted(f"{provider} cannot run {path.name}: {error}") from error
    session.disable_fallback()
    granted = session.get_providers()
    if granted[0] != _NAMES[provider]:
        raise ProviderNotGranted(
            f"{provider} was asked for, but ONNX Runtime granted only {', '.join(granted)}"
        )
    return session, provider, precision


@cache
def _load_cuda() -> None:
    """CUDA's and cuDNN's libraries from their Python packages, which are not where the system's loader looks."""
    with contextlib.redirect_stdout(io.StringIO()) as said:
        ort.preload_dlls()
    for line in said.getvalue().splitlines():
        log.warning(line)


def _precision(provider: Provider, wanted: Precision) -> str:
    native = has_bfloat16(cpu_flags())
    if wanted is Precision.BFLOAT16 and provider is not Provider.OPENVINO:
        raise ProviderNotGranted(f"bfloat16 was asked for, which {provider} does not offer (openvino does)")
    if wanted is Precision.BFLOAT16 and not native:
        raise ProviderNotGranted("bfloat16 was asked for, but this processor has neither AVX512_BF16 nor AMX")
    if provider is Provider.OPENVINO and native and wanted is not Precision.FLOAT32:
        return "bfloat16"
    if provider in (Provider.CUDA, Provider.TENSORRT) and wanted is Precision.AUTO:
        return "tf32"
    return "float32"


def _session_options(provider: Provider, options: SessionOptions) -> ort.SessionOptions:
    session = ort.SessionOptions()
    session.intra_op_num_threads = options.threads
    session.inter_op_num_threads = 1
    session.add_session_config_entry(
        "session.intra_op.allow_spinning", "0"
    )  # several sessions share the cores
    session.log_severity_level = 3  # errors; what matters below that is checked here
    if provider is Provider.OPENVINO:  # the whole graph on OpenVINO, or no session
        session.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        # OpenVINO optimises by itself; folding the casts of float16 weights first would double the peak memory.
        session.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return session


def _provider_list(
    provider: Provider, precision: str, options: SessionOptions
) -> list[tuple[str, dict[str, str]]]:
    """In falling priority. CUDA takes what OpenVINO and TensorRT leave; the CPU takes shape arithmetic."""
    if provider is Provider.CPU:
        return [(_NAMES[provider], {})]
    if provider is Provider.OPENVINO:
        return [(_NAMES[provider], _openvino_options(precision, options))]
    cuda = (_NAMES[Provider.CUDA], _cuda_options(precision, options))
    cpu: tuple[str, dict[str, str]] = (_NAMES[Provider.CPU], {})
    return [cuda, cpu] if provider is Provider.CUDA else [(_NAMES[provider], {}), cuda, cpu]


def _openvino_options(precision: str, options: SessionOptions) -> dict[str, str]:
    hints = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
        "INFERENCE_NUM_THREADS": options.threads,
        "NUM_STREAMS": "1",
    }
    return {"device_type": "CPU", "load_config": json.dumps({"CPU": hints})}


def _cuda_options(precision: str, options: SessionOptions) -> dict[str, str]:
    cuda = {
        "arena_extend_strategy": "kSameAsRequested",  # else every new batch size doubles the arena
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "1" if precision == "tf32" else "0",
    }
    if options.gpu_memory_limit is not None:
        cuda["gpu_mem_limit"] = str(options.gpu_memory_limit)
    return cuda
