"""The README's first commands do what it says: curl against a real service."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperGroup as Group
from typer.main import get_command

from service.cli import app as dgrl
from service.demo.server import running_service
from training.cli import app

README = Path(__file__).parents[1] / "README.md"
ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def address(tiny_bundle: Path) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DGRL_BUNDLE", str(tiny_bundle))
        with running_service() as url:
            yield url


def first_screen() -> list[str]:
    """The commands of the block that talks to the running service, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    block = next(block for block in blocks if "curl" in block)
    return [line for line in block.splitlines() if line and not line.startswith("#")]


def python_example() -> str:
    [example] = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    return str(example)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_commands_of_the_first_screen_and_the_python_after_them(address: str, tmp_path: Path) -> None:
    answers = []
    for command in first_screen():
        command = command.replace(".venv/bin/dgrl", f"{sys.executable} -m service.cli").replace(
            ADDRESS, address
        )
        command = command.replace("build/crops", str(tmp_path / "crops"))
        command = command.replace("curl ", "curl --silent --show-error --fail --noproxy '*' ")
        result = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, f"{command}\n{result.stderr}{result.stdout}"
        if result.stdout:
            answers.append(json.loads(result.stdout))
    anna, ben, query = answers
    assert [image["status"] for image in (*anna["images"], *ben["images"])] == ["enrolled"] * 3
    assert [match["identity"] for match in query["matches"]] == ["ben", "anna"]
    found: dict[str, Any] = {}
    exec(python_example().replace(ADDRESS, address).replace("build/crops", str(tmp_path / "crops")), found)
    assert found["best"].identity == "ben" and len(found["vectors"]) == 12


def test_the_training_commands_have_the_options_it_gives_them() -> None:
    training = get_command(app)
    assert isinstance(training, Group)
    commands = re.findall(
        r"^\.venv-test/bin/dgrl-train (\w+)(.*)$", README.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {name for name, _ in commands} <= training.commands.keys()
    for name, arguments in commands:
        known = {option for parameter in training.commands[name].params for option in parameter.opts}
        assert set(re.findall(r"--[\w-]+", arguments)) <= known, name


def test_the_service_commands_have_the_options_it_gives_them() -> None:
    service = get_command(dgrl)
    assert isinstance(service, Group)
    text = README.read_text(encoding="utf-8")
    commands = re.findall(r"^\.venv/bin/dgrl (\w+)(.*)$", text, re.MULTILINE)
    commands += re.findall(r"`dgrl (\w+)([^`]*)`", text)
    assert {name for name, _ in commands} <= service.commands.keys()
    for name, arguments in commands:
        command = service.commands[name]
        if isinstance(command, Group) and (below := re.match(r" ([a-z]+)", arguments)):
            command = command.commands[below[1]]
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[\w-]+", arguments)) <= known | {"--help"}, name


def test_the_make_targets_it_names_exist() -> None:
    makefile = (README.parent / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)\b(?! it)", README.read_text(encoding="utf-8"))) <= targets


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_serve_changes_no_setting_that_it_is_not_told_to() -> None:
    def served(*words: str) -> list[str]:
        clean = {name: value for name, value in os.environ.items() if name not in ("PORT", "DATA", "ARGS")}
        command = ["make", "--dry-run", "--no-print-directory", "serve", *words]
        done = subprocess.run(
            command, cwd=README.parent, env=clean, capture_output=True, text=True, check=True, timeout=60
        )
        return shlex.split(done.stdout.splitlines()[-1])

    assert served() == ["exec", ".venv/bin/dgrl", "serve"]
    told = served("PORT=8001", "DATA=my people", "ARGS=--host ::1")
    assert told[3:] == ["--port", "8001", "--data-dir", "my people", "--host", "::1"]


def test_the_files_it_links_or_names_exist() -> None:
    text = README.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:docker|tests|training|service|\.ci)/[\w./-]*)`", text):
        assert (README.parent / name).exists(), name
