"""Runs this checkout's compose file as a project of its own, with whichever compose command there is."""

import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
KEY = re.compile(r"dgrl_[0-9a-f]{8}_[0-9a-f]{64}")
_HEALTHY_S = 180


@dataclass(frozen=True, slots=True)
class Compose:
    project: str
    port: int

    def __call__(self, *arguments: str) -> str:
        """Standard output and error together, in the order they came."""
        environment = {**os.environ, "DGRL_PUBLISH": f"127.0.0.1:{self.port}"}
        result = subprocess.run(
            [*_command(), "--project-name", self.project, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1200,
        )
        assert result.returncode == 0, f"compose {' '.join(arguments)}:\n{result.stdout[-4000:]}"
        return result.stdout

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def container(self) -> str:
        return self("ps", "--quiet", "dgrl").split()[-1]

    def keys_shown(self) -> list[str]:
        return KEY.findall(self("logs", "dgrl"))

    def wait_until_healthy(self) -> None:
        deadline = time.monotonic() + _HEALTHY_S
        state = {}
        while time.monotonic() < deadline:
            state = inspect(self.container())["State"]
            if state.get("Health", {}).get("Status") == "healthy":
                return
            time.sleep(1)
        raise AssertionError(f"not healthy after {_HEALTHY_S} s: {json.dumps(state)}\n{self('logs')[-4000:]}")


def inspect(container: str) -> dict[str, Any]:
    text = subprocess.run(["docker", "inspect", container], check=True, capture_output=True, text=True).stdout
    description: dict[str, Any] = json.loads(text)[0]
    return description


def _command() -> list[str]:
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    assert shutil.which("docker-compose"), "neither `docker compose` nor docker-compose is there"
    return ["docker-compose"]
