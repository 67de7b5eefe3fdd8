"""What the processor's flags allow."""

from pathlib import Path

import pytest

from model.bundle.cpu import UnsupportedCpu, cpu_flags, has_bfloat16, require_avx2, usable_cores


def test_flags_are_read_as_linux_lists_them(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx2 amx_bf16\nbugs\t\t:\n")
    assert cpu_flags(cpuinfo) == {"fpu", "avx2", "amx_bf16"}
    assert cpu_flags(tmp_path / "absent") == frozenset()


def test_a_processor_without_avx2_gets_one_sentence() -> None:
    with pytest.raises(UnsupportedCpu, match="no AVX2"):
        require_avx2(frozenset({"sse4_2", "avx"}), "x86_64")


@pytest.mark.parametrize(
    ("flags", "machine"),
    [(frozenset({"avx2"}), "x86_64"), (frozenset[str](), "x86_64"), (frozenset({"asimd"}), "aarch64")],
    ids=["new", "unknown", "arm"],
)
def test_others_pass(flags: frozenset[str], machine: str) -> None:
    require_avx2(flags, machine)


@pytest.mark.parametrize(("flag", "native"), [("avx512_bf16", True), ("amx_bf16", True), ("avx512f", False)])
def test_bfloat16_needs_its_instructions(flag: str, native: bool) -> None:
    assert has_bfloat16(frozenset({"avx2", flag})) is native


@pytest.mark.parametrize(("quota", "cores"), [("50000 100000", 1), ("100000 100000", 1), ("1000 100000", 1)])
def test_a_containers_quota_bounds_the_cores(tmp_path: Path, quota: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert usable_cores(tmp_path / "cpu.max") == cores


def test_without_a_quota_every_core_counts(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert usable_cores(tmp_path / "cpu.max") == usable_cores(tmp_path / "absent") >= 1
