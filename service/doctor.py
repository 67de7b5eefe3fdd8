"""What `dgrl doctor` prints: versions, the processor, what onnxruntime offers here, the GPU."""

import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata

from model.bundle.cpu import UnsupportedCpu, cpu_flags, has_bfloat16, require_avx2, usable_cores
from service.machine import available_memory
from service.version import version

_PACKAGES = ("onnxruntime-openvino", "onnxruntime-gpu", "onnxruntime", "faiss-cpu", "faiss-gpu")
_ALWAYS = ("numpy", "pillow", "fastapi", "pydantic", "uvicorn")
_GPU_S = 20
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


@dataclass(frozen=True, slots=True)
class Report:
    facts: dict[str, str]
    complaints: tuple[str, ...]


def examine() -> Report:
    flags, memory = cpu_flags(), available_memory()
    facts = {
        "dgrl": version(),
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": str(usable_cores()),
        "memory available": "unknown" if memory is None else f"{memory / 1e9:.1f} GB",
        "cpu flags": " ".join(flag for flag in _FLAGS if flag in flags) or "none of those that matter",
        "bfloat16": "native" if has_bfloat16(flags) else "no",
        **{name: found for name in (*_PACKAGES, *_ALWAYS) if (found := _installed(name))},
        "onnxruntime offers": _providers(),
        "gpu": _gpu(),
    }
    return Report(facts, tuple(_complaints(flags, facts)))


def _complaints(flags: frozenset[str], facts: dict[str, str]) -> list[str]:
    found = []
    try:
        require_avx2(flags)
    except UnsupportedCpu as error:
        found.append(str(error))
    for family in ("onnxruntime", "faiss"):
        installed = [name for name in _PACKAGES if name.startswith(family) and name in facts]
        if not installed:
            found.append(f"no {family} is installed: pip install '.[cpu]' or '.[gpu]'")
        if len(installed) > 1:
            found.append(f"{' and '.join(installed)} share one import name: uninstall both, then install one")
    return found


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _providers() -> str:
    try:
        from model.bundle.session import offered_providers
    except ImportError as error:
        return f"nothing ({error})"
    return ", ".join(offered_providers())


def _gpu() -> str:
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "none (no nvidia-smi)"
    query = [tool, "--query-gpu=name,driver_version,compute_cap,memory.total", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=_GPU_S, check=False)
    except subprocess.TimeoutExpired:
        return f"nvidia-smi gave no answer within {_GPU_S} s: the driver hangs"
    return done.stdout.strip().replace("\n", "; ") or done.stderr.strip() or "none"
