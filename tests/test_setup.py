"""`.ci/venv`: what stands in its way is said in one sentence, and a second run does nothing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = ("bash", "cat", "dirname", "env", "grep", "rm", "sha256sum", "tail", "uname", "mkdir", "ln")

# Answers `.ci/venv` as Python would, and writes down every call. {version} and {ensurepip} are filled in.
FAKE_PYTHON = """#!/bin/bash
printf '%s\\n' "$*" >>{log}
case "$*" in
  *version_info*) echo {version} ;;
  *ensurepip*) exit {ensurepip} ;;
  *"-m venv"*) mkdir -p "${{@: -1}}/bin" && ln -sf {itself} "${{@: -1}}/bin/python" ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with as much of this project as the set-up reads."""
    folder = tmp_path / "checkout"
    for name in (".ci/venv", "docker/cpu.lock", "pyproject.toml", "README.md", "Makefile"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for PATH that holds the tools of a bare Debian machine, and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (folder / tool).symlink_to(found)
    return folder


def fake_python(path: Path, version: str = "3.11.9", ensurepip: int = 0) -> Path:
    """Returns the file in which its calls will stand, one a line."""
    log = path.with_suffix(".log")
    path.write_text(FAKE_PYTHON.format(log=log, version=version, ensurepip=ensurepip, itself=path))
    path.chmod(0o755)
    return log


def set_up(checkout: Path, path: Path | str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(checkout / ".ci" / "venv"), ".venv", "cpu"]
    env = {"PATH": str(path), "HOME": str(checkout), **environment}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


def sentence(result: subprocess.CompletedProcess[str]) -> str:
    """The error, which must be the last line and the only one that calls itself so."""
    assert result.returncode != 0
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, result.stderr
    assert result.stderr.splitlines()[-1] == errors[0]
    assert "Traceback" not in result.stderr
    return errors[0]


def test_no_python_at_all(checkout: Path, tools: Path) -> None:
    error = sentence(set_up(checkout, tools))
    assert "Python 3.11, 3.12 or 3.13 is needed, but python3 was not found" in error
    assert "apt-get install python3.11" in error


def test_only_a_python_of_another_version(checkout: Path, tools: Path) -> None:
    fake_python(tools / "python3", version="3.9.2")
    assert "needed, but python3 is Python 3.9.2" in sentence(set_up(checkout, tools))


def test_a_named_python_of_another_version_is_not_passed_over(checkout: Path, tools: Path) -> None:
    fake_python(tools / "python3.11")
    fake_python(tools / "python3.14", version="3.14.0")
    result = set_up(checkout, tools, PYTHON="python3.14")
    assert "needed, but python3.14 is Python 3.14.0" in sentence(result)


def test_a_named_python_that_is_not_there(checkout: Path, tools: Path) -> None:
    assert "/nowhere/python was not found" in sentence(set_up(checkout, tools, PYTHON="/nowhere/python"))


def test_a_python_without_its_venv_module(checkout: Path, tools: Path) -> None:
    fake_python(tools / "python3.11", ensurepip=1)
    assert "apt-get install python3-venv" in sentence(set_up(checkout, tools))


def test_a_later_python_is_taken_where_there_is_no_3_11(checkout: Path, tools: Path) -> None:
    fake_python(tools / "python3", version="3.9.2")
    fake_python(tools / "python3.12", version="3.12.4")
    assert set_up(checkout, tools).returncode == 0


def test_a_second_run_installs_nothing_until_the_project_changes(checkout: Path, tools: Path) -> None:
    log = fake_python(tools / "python3.11")

    def installs() -> int:
        result = set_up(checkout, tools)
        assert result.returncode == 0, result.stderr
        calls = log.read_text().splitlines()
        log.unlink()
        return sum("-m pip install" in call for call in calls)

    assert installs() == 1
    assert installs() == 0
    with (checkout / "pyproject.toml").open("a") as file:
        file.write("\n# changed\n")
    assert installs() == 1
    assert installs() == 0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"PIP_INDEX_URL": "http://127.0.0.1:9/simple"},
            "pip could not reach its package index; check the network",
        ),
        ({"PIP_NO_INDEX": "1"}, "PIP_NO_INDEX is set"),
    ],
    ids=["index unreachable", "no index"],
)
def test_packages_out_of_reach(checkout: Path, settings: dict[str, str], expected: str) -> None:
    path = f"{Path(sys.executable).resolve().parent}:{os.environ['PATH']}"
    result = set_up(
        checkout, path, PYTHON=sys.executable, PIP_CONFIG_FILE=os.devnull, PIP_RETRIES="0", **settings
    )
    assert expected in sentence(result)
    assert "ERROR: " in result.stderr  # pip's own words stay visible
    assert not (checkout / ".venv" / ".ready").exists()
