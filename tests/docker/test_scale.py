"""`docker compose --profile scale up`: replicas on one gallery in Milvus (the PyPI server), behind a proxy."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator

import httpx
import pytest

from service.demo.demo import enrol, search
from service.demo.people import people
from tests.docker.compose import KEY, Compose

pytestmark = pytest.mark.docker
FILES = (
    "--file", "docker-compose.yml", "--file", "tests/docker/compose.milvus.yml", "--profile", "scale",
)  # fmt: skip
_READY_S = 300


@pytest.fixture(scope="module")
def compose() -> Iterator[Compose]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(listener.getsockname()[1])
    compose = Compose(project=f"dgrlscale{os.getpid()}", port=port)
    try:
        compose(*FILES, "up", "--build", "--detach", "--scale", "replica=2")
        yield compose
    finally:
        compose(*FILES, "down", "--volumes")


@pytest.fixture(scope="module")
def owner(compose: Compose) -> Iterator[httpx.Client]:
    [key] = KEY.findall(compose(*FILES, "logs", "first-key"))
    with httpx.Client(
        base_url=compose.url, headers={"X-API-Key": key}, timeout=60, trust_env=False
    ) as client:
        until_ready(client)
        yield client


def until_ready(client: httpx.Client) -> None:
    end, last = time.monotonic() + _READY_S, "nothing"
    while time.monotonic() < end:
        try:
            answer = client.get("/readyz")
            if answer.status_code == 200:
                return
            last = answer.text
        except httpx.TransportError as error:
            last = str(error)
        time.sleep(1)
    raise AssertionError(f"not ready after {_READY_S} s: {last}")


def containers(compose: Compose, service: str) -> list[str]:
    return [line for line in compose(*FILES, "ps", "--quiet", service).split() if len(line) == 64]


def docker(*arguments: str) -> None:
    subprocess.run(["docker", *arguments], check=True, capture_output=True)


def test_the_single_service_is_not_part_of_it(compose: Compose, owner: httpx.Client) -> None:
    del owner
    assert len(containers(compose, "replica")) == 2
    assert containers(compose, "dgrl") == []


def test_replicas_share_gallery_keys_and_pictures(compose: Compose, owner: httpx.Client) -> None:
    everyone = people(6)
    enrol(owner, everyone)
    time.sleep(6)  # the longest that another replica may be behind
    for _ in range(6):  # in turns
        found = search(owner, everyone)
        assert sum(one.right_first for one in found) >= 4
        listed = owner.get("/gallery").json()["identities"]
        assert {entry["identity"]: entry["images"] for entry in listed} == {p.name: 2 for p in everyone}
        image = owner.get(f"/gallery/{everyone[0].name}").json()["images"][0]["image_id"]
        assert owner.get(f"/gallery/{everyone[0].name}/images/{image}").status_code == 200
    made = KEY.findall(
        compose(*FILES, "exec", "-T", "--index=1", "replica", "dgrl", "keys", "create", "reader")
    )[0]
    for _ in range(4):
        assert owner.get("/gallery", headers={"X-API-Key": made}).status_code == 200


def test_a_replica_may_go(compose: Compose, owner: httpx.Client) -> None:
    docker("stop", containers(compose, "replica")[0])
    time.sleep(6)  # the proxy asks for addresses every 5 s
    assert {owner.get("/gallery").status_code for _ in range(10)} == {200}


def test_milvus_may_go_and_come_back(compose: Compose, owner: httpx.Client) -> None:
    before = owner.get("/gallery").json()
    [milvus] = containers(compose, "milvus")
    docker("kill", milvus)
    assert owner.get("/gallery").status_code == 503
    docker("start", milvus)
    until_ready(owner)
    assert owner.get("/gallery").json() == before
