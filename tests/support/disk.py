"""A small disk: a tmpfs that fills up. It needs root."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_NAME = "dgrl-disk-"


@contextmanager
def small_disk(mebibytes: int) -> Iterator[Path]:
    """Mounted outside pytest's own folders, which it clears; what a killed run left mounted is unmounted first."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small tmpfs needs root")
    _clear_up()
    folder = Path(tempfile.mkdtemp(prefix=f"{_NAME}{os.getpid()}-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    try:
        if done.returncode != 0:
            pytest.skip(f"cannot mount a tmpfs: {done.stderr.strip()}")
        yield folder
    finally:
        _unmount(folder)


def fill(folder: Path, leave: int) -> Path:
    """A file that leaves `leave` bytes of the disk."""
    filler = folder / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(folder).free - leave)
    return filler


def _clear_up() -> None:
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        folder = Path(line.split()[1])
        if folder.name.startswith(_NAME):
            owner = folder.name.removeprefix(_NAME).split("-")[0]
            if not Path("/proc", owner).exists():
                _unmount(folder)


def _unmount(folder: Path) -> None:
    """Lazily: a file that is still open must not keep the name."""
    subprocess.run(["umount", "--lazy", str(folder)], capture_output=True, check=False)
    folder.rmdir()
