"""Memory that may be used: the machine's, or less where a container has a limit."""

from pathlib import Path

import pytest

from service.machine import available_memory


@pytest.fixture
def meminfo(tmp_path: Path) -> Path:
    file = tmp_path / "meminfo"
    file.write_text("MemTotal:       4000 kB\nMemFree:         100 kB\nMemAvailable:   2000 kB\n")
    return file


def test_without_a_container_it_is_the_machines(meminfo: Path, tmp_path: Path) -> None:
    assert available_memory(meminfo, tmp_path) == 2000 * 1024
    assert available_memory(tmp_path / "none", tmp_path) is None


@pytest.mark.parametrize(
    ("limit", "expected"), [("max", 2_048_000), ("1000000", 400_000), ("9000000", 2_048_000)]
)
def test_a_containers_limit_counts(meminfo: Path, tmp_path: Path, limit: str, expected: int) -> None:
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text("600000\n")
    assert available_memory(meminfo, tmp_path) == expected


def test_a_container_beyond_its_limit_has_nothing(meminfo: Path, tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("2000\n")
    assert available_memory(meminfo, tmp_path) == 0
