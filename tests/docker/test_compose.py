"""`docker compose up` on a real engine: healthy, closed to strangers; the gallery outlives the container."""

import os
import socket
from collections.abc import Iterator

import httpx
import pytest

from service.demo.demo import enrol, search
from service.demo.people import people
from tests.docker.compose import KEY, Compose, inspect

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def compose() -> Iterator[Compose]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    compose = Compose(project=f"dgrltest{os.getpid()}", port=port)
    try:
        compose("up", "--build", "--detach")
        compose.wait_until_healthy()
        yield compose
    finally:
        compose("down", "--volumes")


@pytest.fixture(scope="module")
def key(compose: Compose) -> str:
    """The one key that the first start showed."""
    shown = compose.keys_shown()
    assert len(shown) == 1, shown
    return shown[0]


def client(compose: Compose, key: str | None) -> httpx.Client:
    headers = {} if key is None else {"X-API-Key": key}
    return httpx.Client(base_url=compose.url, headers=headers, timeout=60, trust_env=False)


def test_nobody_gets_in_without_the_key_that_the_first_start_showed(compose: Compose, key: str) -> None:
    for presented in (None, "dgrl_00000000_" + "0" * 64):
        with client(compose, presented) as stranger:
            assert stranger.get("/gallery").status_code == 401
    with client(compose, key) as owner:
        assert owner.get("/gallery").status_code == 200


def test_the_container_runs_bare(compose: Compose) -> None:
    """No root, no torch, nothing writable but the volume and /tmp."""
    container = inspect(compose.container())
    assert container["Config"]["User"] == "dgrl"
    assert container["HostConfig"]["ReadonlyRootfs"]
    code = "import importlib.util, os; print(os.getuid(), importlib.util.find_spec('torch'))"
    assert compose("exec", "-T", "dgrl", "python", "-c", code).split() == ["10001", "None"]


def test_keys_are_made_inside_the_container(compose: Compose, key: str) -> None:
    del key
    made = KEY.findall(compose("exec", "-T", "dgrl", "dgrl", "keys", "create", "reader"))
    assert len(made) == 1
    with client(compose, made[0]) as reader:
        assert reader.get("/gallery").status_code == 200


def test_the_gpu_override_asks_for_the_gpu_image_and_a_gpu(compose: Compose) -> None:
    files = ("--file", "docker-compose.yml", "--file", "docker/compose.gpu.yml")
    described = compose(*files, "config")
    assert "target: gpu" in described
    assert "driver: nvidia" in described
    assert "read_only: true" in described


def test_the_gallery_is_still_there_after_the_container_is_replaced(compose: Compose, key: str) -> None:
    everyone = people(6)
    with client(compose, key) as owner:
        enrol(owner, everyone)
        before = search(owner, everyone)
    assert sum(found.right_first for found in before) >= 4

    first = compose.container()
    compose("up", "--detach", "--force-recreate")
    compose.wait_until_healthy()
    assert compose.container() != first
    assert compose.keys_shown() == []  # shown once, at the first start only

    with client(compose, key) as owner:
        after = search(owner, everyone)
        listed = owner.get("/gallery").json()["identities"]
    assert [one.answer.matches for one in after] == [one.answer.matches for one in before]
    assert {entry["identity"]: entry["images"] for entry in listed} == {p.name: 2 for p in everyone}


def test_another_bundle_folder_does_not_start(compose: Compose) -> None:
    """A setting that cannot work is one sentence in the log and a status that is not 0."""
    code = "dgrl serve || echo status $?"
    output = compose("run", "--rm", "-T", "-e", "DGRL_BUNDLE=/nowhere", "dgrl", "sh", "-c", code)
    assert "/nowhere" in output
    assert "status " in output
    assert "Traceback" not in output
