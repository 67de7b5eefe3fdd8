"""Whether there is memory for a gallery, before it is loaded: rather no start than one that swaps."""

import logging
from pathlib import Path

from index.errors import GalleryUnavailable

log = logging.getLogger(__name__)
_COLUMNS = 33  # bytes of an image beside its vector: id, identity, camera, time, flag
_SPARE = 64 * 2**20


def check_memory(path: Path, images: int, dimension: int) -> None:
    """Raises GalleryUnavailable when the vectors of `images` would not fit."""
    needed, available = images * (2 * dimension + _COLUMNS), available_memory()
    log.info(
        "%s: %d images need %d MB of memory; %d MB are free", path, images, needed >> 20, available >> 20
    )
    if needed + _SPARE > available:
        raise GalleryUnavailable(
            f"{path} holds {images} images, which need {needed >> 20} MB of memory, and {available >> 20} MB are"
            " free: give it more memory, or move it to a distributed engine"
        )


def available_memory() -> int:
    """Bytes that this process may still take: of the machine, and of its control group if has one."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    return min([free, *_left_in_groups()])


def _left_in_groups() -> list[int]:
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
        used = int((group / "memory.current").read_text())
    except FileNotFoundError:  # no control group of the second version, or its root, which has no limit
        return []
    return [] if limit == "max" else [int(limit) - used]
