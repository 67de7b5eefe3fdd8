"""What the processor can do: a machine too old gets a sentence at start-up, not a crash later."""

import os
import platform
from pathlib import Path


class UnsupportedCpu(RuntimeError):
    """The processor lacks instructions that the serving packages are built with."""


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The flags that Linux lists, such as `avx2` and `avx512_bf16`; none on other systems."""
    if not cpuinfo.exists():
        return frozenset()
    for line in cpuinfo.read_text(encoding="utf-8").splitlines():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def require_avx2(flags: frozenset[str], machine: str = platform.machine()) -> None:
    """Raises UnsupportedCpu on an x86-64 processor whose flags are known and lack AVX2."""
    if machine in ("x86_64", "AMD64") and flags and "avx2" not in flags:
        raise UnsupportedCpu(
            "this processor has no AVX2, which onnxruntime and FAISS need: use an x86-64 CPU of 2013 or later"
        )


def has_bfloat16(flags: frozenset[str]) -> bool:
    """Whether the processor multiplies bfloat16 natively."""
    return not flags.isdisjoint({"avx512_bf16", "amx_bf16"})


def usable_cores(quota: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores that this process may use: by its affinity, and by its container's quota, rounded up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allowed, _, period = (
        quota.read_text(encoding="utf-8").partition(" ") if quota.exists() else ("max", "", "")
    )
    return cores if allowed == "max" else max(1, min(cores, -(-int(allowed) // int(period))))
