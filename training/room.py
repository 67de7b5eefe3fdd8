"""How much memory and disk are free for a run."""

import os
from pathlib import Path

import torch

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def free_memory(device: torch.device, meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Bytes on the GPU, or of the machine and its container's limit; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = []
    if meminfo.exists():
        lines = meminfo.read_text(encoding="ascii").splitlines()
        free += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    limit, used = cgroup / "memory.max", cgroup / "memory.current"
    if limit.exists() and used.exists() and (text := limit.read_text(encoding="ascii").strip()) != "max":
        free.append(max(0, int(text) - int(used.read_text(encoding="ascii"))))
    return min(free, default=None)


def free_disk(folder: Path) -> tuple[int, int]:
    """The file system that `folder` is on, or will be on, as a number, and its free bytes for this user."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    found = os.statvfs(there)
    return there.stat().st_dev, found.f_bavail * found.f_frsize
