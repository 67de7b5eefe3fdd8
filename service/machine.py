"""What this machine has: memory that may still be used, under a container's limit as well."""

from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def available_memory(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int | None:
    """Bytes, or None where the system does not say."""
    found = [value for value in (_of_the_system(meminfo), _of_the_container(cgroup)) if value is not None]
    return min(found, default=None)


def _of_the_system(meminfo: Path) -> int | None:
    if not meminfo.exists():
        return None
    for line in meminfo.read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _of_the_container(cgroup: Path) -> int | None:
    limit, used = cgroup / "memory.max", cgroup / "memory.current"
    if not limit.exists() or not used.exists():
        return None
    text = limit.read_text(encoding="ascii").strip()
    return None if text == "max" else max(0, int(text) - int(used.read_text(encoding="ascii")))
