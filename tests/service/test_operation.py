"""Alive, ready, metrics, model, logs, unexpected failures."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.context import begin
from service.logs import JsonFormatter, TextFormatter
from tests.service.conftest import Enrol
from tests.support.live import Live, serving, tiny_settings
from tests.support.pictures import encoded, person

URN = "urn:dgrl:problem:"


def test_ready_means_inference_and_search(client: httpx.Client) -> None:
    answer = client.get("/readyz")
    ready = answer.json()
    assert answer.status_code == 200 and ready["status"] == "ready"
    assert set(ready["checks"]) == {"model", "store", "index"}
    assert all(check["ok"] and check["ms"] > 0 for check in ready["checks"].values())
    assert ready["provider"] == "cpu" and ready["precision"] == "float32"


def test_a_lost_gallery_is_not_ready_and_503(serve: Callable[..., Live]) -> None:
    live = serve()
    live.services.gallery.close()
    with live.client() as client:
        assert client.get("/livez").json() == {"status": "alive"}
        answer = client.get("/readyz")
        assert answer.status_code == 503 and answer.json()["type"] == URN + "unavailable"
        assert answer.json()["checks"]["model"]["ok"] and not answer.json()["checks"]["store"]["ok"]
        picture = {"images": encoded(person(1))}
        refused = client.post("/gallery", files=picture, data={"identity": "x"})
        assert refused.status_code == 503 and refused.json()["type"] == URN + "unavailable"
        assert "gallery.db" not in answer.text + refused.text
        assert client.get("/gallery").status_code == 503


def test_the_model_page_shows_grants_overrides_and_derived_values(serve: Callable[..., Live]) -> None:
    with serve(max_batch=6, match_far=0.05).client() as client:
        model = client.get("/model").json()
    assert model["provider"] == "cpu" and model["manifest"]["name"] == "tiny"
    assert model["settings"]["max_batch"] == 6 and "min_height" not in model["settings"]
    notes = " | ".join(model["notes"])
    assert (
        "batches of at most 4" in notes
        and "no threshold at 0.05" in notes
        and "below a height of 32" in notes
    )


def test_an_uncalibrated_rate_gives_null_and_says_so(serve: Callable[..., Live]) -> None:
    picture = {"images": encoded(person(1))}
    with serve(match_far=0.05).client() as client:
        client.post("/gallery", files=picture, data={"identity": "x"})
        answer = client.post("/query", files=picture).json()
    assert answer["matches"][0]["match"] is None and answer["matches"][0]["probability"] > 0.9
    assert "not calibrated" in answer["calibration"]["note"]


def test_metrics(client: httpx.Client, enrol: Enrol) -> None:
    enrol("anna", (1,))
    client.post("/query", files={"images": encoded(person(1))})
    client.get("/gallery/anna")
    client.get("/nowhere")
    text = client.get("/metrics").text
    for line in (
        'dgrl_requests_total{method="POST",route="/query",status="200"}',
        'dgrl_requests_total{method="GET",route="/gallery/{identity}",status="200"}',
        'dgrl_requests_total{method="GET",route="unmatched",status="404"}',
        'dgrl_stage_seconds_count{stage="search"}',
        'dgrl_inference_seconds_count{session="embed_hr"}',
        'dgrl_images_total{outcome="enrolled"}',
        "dgrl_gallery_images 1.0",
        "dgrl_queue_images 0.0",
        "process_resident_memory_bytes",
    ):
        assert line in text, line
    assert 'provider="cpu"' in text and "anna" not in text


def test_pictures_are_not_kept_when_told_so(serve: Callable[..., Live]) -> None:
    picture = {"images": encoded(person(1))}
    with serve(keep_images=False).client() as client:
        image = client.post("/gallery", files=picture, data={"identity": "x"}).json()["images"][0]["image_id"]
        assert client.get("/gallery/x").json()["images"][0]["media_type"] is None
        answer = client.get(f"/gallery/x/images/{image}")
        assert answer.status_code == 404 and answer.json()["type"] == URN + "unknown-image"


def test_the_gallery_outlives_a_restart(tiny_bundle: Path, tmp_path: Path) -> None:
    settings = tiny_settings(tiny_bundle, tmp_path)
    picture = {"images": encoded(person(1))}
    with serving(settings) as live, live.client() as client:
        assert client.post("/gallery", files=picture, data={"identity": "anna"}).status_code == 201
    with serving(settings) as live, live.client() as client:
        assert client.post("/query", files=picture).json()["matches"][0]["identity"] == "anna"


def test_an_unexpected_failure_says_nothing_but_its_id(
    tiny_bundle: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(tiny_settings(tiny_bundle, tmp_path))

    @app.get("/boom")
    async def boom() -> None:
        raise RuntimeError("secret detail")

    with serving(app.state.settings, app) as live, live.client() as client, caplog.at_level(logging.ERROR):
        answer = client.get("/boom", headers={"X-Request-ID": "abc-1"})
    assert answer.status_code == 500 and answer.json()["type"] == URN + "internal-error"
    assert "secret" not in answer.text and answer.json()["request_id"] == "abc-1"
    assert any("secret detail" in str(record.exc_info) for record in caplog.records)


@pytest.mark.parametrize("offered", ["x" * 65, "a b", "<script>", ""])
def test_a_strange_request_id_is_replaced(client: httpx.Client, offered: str) -> None:
    given = client.get("/livez", headers={"X-Request-ID": offered}).headers["x-request-id"]
    assert given != offered and len(given) == 16


def test_a_log_line_is_one_json_object_with_its_request() -> None:
    begin("request-7")
    record = logging.LogRecord("dgrl", logging.WARNING, "", 0, "two\nlines %s", ("é",), None)
    record.ms = 1.5
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line) | {"time": ""} == {
        "time": "",
        "level": "warning",
        "logger": "dgrl",
        "message": "two\nlines é",
        "request_id": "request-7",
        "ms": 1.5,
    }
    assert TextFormatter().format(record).endswith("ms=1.5 [request-7]")
