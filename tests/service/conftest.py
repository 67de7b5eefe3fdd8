"""One live service for most tests, open on loopback, and a factory for those that need other settings."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.support.live import Live, serving, tiny_settings
from tests.support.pictures import encoded, person

Enrol = Callable[..., httpx.Response]


@pytest.fixture(scope="session")
def live(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with serving(tiny_settings(tiny_bundle, tmp_path_factory.mktemp("service"))) as server:
        yield server


@pytest.fixture
def serve(tiny_bundle: Path, tmp_path: Path) -> Iterator[Callable[..., Live]]:
    with ExitStack() as stack:

        def start(**changes: Any) -> Live:
            return stack.enter_context(serving(tiny_settings(tiny_bundle, tmp_path / "data", **changes)))

        yield start


@pytest.fixture(scope="session")
def shared_client(live: Live) -> Iterator[httpx.Client]:
    with live.client() as client:
        yield client


@pytest.fixture
def client(shared_client: httpx.Client) -> httpx.Client:
    """The session's service, with an empty gallery."""
    page = shared_client.get("/gallery", params={"limit": 1000}).json()
    for found in page["identities"]:
        shared_client.delete(f"/gallery/{quote(found['identity'], safe='')}")
    return shared_client


@pytest.fixture
def enrol(client: httpx.Client) -> Enrol:
    def send(identity: str = "anna", seeds: tuple[int, ...] = (1,), **fields: str) -> httpx.Response:
        files = [("images", (f"{seed}.png", encoded(person(seed)), "image/png")) for seed in seeds]
        return client.post("/gallery", files=files, data={"identity": identity, **fields})

    return send
