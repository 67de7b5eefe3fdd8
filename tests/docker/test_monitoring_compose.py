"""The compose profile `monitoring` beside `single`, with Debian's Prometheus in the public image's place."""

import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.docker.compose import KEY, ROOT, Compose

pytestmark = pytest.mark.docker
FILES = (
    "--file", "docker-compose.yml", "--file", "tests/docker/compose.monitoring.yml",
    "--profile", "single", "--profile", "monitoring",
)  # fmt: skip


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Compose, httpx.Client, Path]]:
    """With the folder that it reads, in which there is no key yet."""
    folder = tmp_path_factory.mktemp("monitoring") / "folder"
    shutil.copytree(ROOT / "docker" / "monitoring", folder, ignore=shutil.ignore_patterns("key"))
    for parent in (folder, *folder.parents[:3]):
        parent.chmod(0o755)  # in the container it is read by nobody
    compose = Compose(project=f"dgrlmonitoring{os.getpid()}", port=free_port())
    with pytest.MonkeyPatch.context() as patch:
        address = f"127.0.0.1:{free_port()}"
        patch.setenv("MONITORING_FOLDER", str(folder))
        patch.setenv("PROMETHEUS_PUBLISH", address)
        try:
            compose(*FILES, "up", "--build", "--detach", "dgrl", "prometheus")
            compose.wait_until_healthy()
            with httpx.Client(base_url=f"http://{address}", trust_env=False) as client:
                yield compose, client, folder
        finally:
            compose(*FILES, "down", "--volumes")


def wait_for_target(client: httpx.Client, health: str) -> dict[str, Any]:
    end, targets = time.monotonic() + 120, []
    while time.monotonic() < end:
        try:
            targets = client.get("/api/v1/targets").json()["data"]["activeTargets"]
        except httpx.TransportError:
            targets = []
        if [target["health"] for target in targets] == [health]:
            return dict(targets[0])
        time.sleep(1)
    raise AssertionError(targets)


def test_it_says_what_is_missing_and_reads_the_service_once_the_key_is_there(
    prometheus: tuple[Compose, httpx.Client, Path],
) -> None:
    compose, client, folder = prometheus
    assert "no such file" in wait_for_target(client, "down")["lastError"]
    made = compose("exec", "-T", "dgrl", "dgrl", "keys", "create", "prometheus")
    (folder / "key").write_text(KEY.findall(made)[0], encoding="utf-8")
    wait_for_target(client, "up")
    answer = client.get("/api/v1/query", params={"query": "dgrl_gallery_images"}).json()
    assert [sample["value"][1] for sample in answer["data"]["result"]] == ["0"]
    rules = client.get("/api/v1/rules").json()["data"]["groups"][0]["rules"]
    assert len(rules) == 6 and all(rule["health"] in {"ok", "unknown"} for rule in rules)
