"""One live service for most tests, open on loopback, and a factory for those that need other settings."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest

from tests.support.live import Live, serving, tiny_settings
from tests.support.pictures import encoded, person

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

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


@pytest.fixture(scope="module")
def chromium() -> "Iterator[Browser]":
    """Debian's Chromium. It ends with the module: while it runs, no other test here could have an event loop."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        yield driver.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])


@pytest.fixture
def page(chromium: "Browser") -> "Iterator[Page]":
    """A tab that must end without a script error or a refused resource, and without a request elsewhere."""
    wrong: list[str] = []
    with chromium.new_context(
        viewport={"width": 1280, "height": 900}, timezone_id="America/New_York"
    ) as context:
        tab = context.new_page()
        tab.set_default_timeout(20_000)
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("console", lambda line: wrong.append(line.text) if "Security Policy" in line.text else None)
        tab.on(
            "request",
            lambda request: (
                None
                if request.url.startswith(("http://127.0.0.1:", "blob:http://127.0.0.1:", "data:"))
                else wrong.append(request.url)
            ),
        )
        yield tab
    assert not wrong
