"""The pages in a real browser: their scripts run, and draw what the service says."""

import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.service.conftest import Enrol
from tests.support.live import Live

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--virtual-time-budget=10000"),
]


def rendered(url: str, profile: Path) -> str:
    """The page after its scripts have run."""
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "--dump-dom", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_the_search_page_shows_the_gallery(
    client: httpx.Client, live: Live, enrol: Enrol, tmp_path: Path
) -> None:
    enrol("anna", (1, 2))
    assert "1 identities, 2 images; bundle tiny, cpu float32" in rendered(live.url, tmp_path)


def test_the_reference_is_drawn_from_the_openapi(client: httpx.Client, live: Live, tmp_path: Path) -> None:
    page = rendered(f"{live.url}/docs", tmp_path)
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        assert f"<code>{path}</code>" in page
        for operation in methods.values():
            assert operation.get("description", "") in page
    assert "min_score" in page and "Reading openapi.json" not in page
