"""The dashboard and the alerts ask for what the service has; where Prometheus is installed, it is asked too."""

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.keys import KeyStore, Scope
from tests.docker.compose import ROOT
from tests.support.live import Live, serving, tiny_settings
from tests.support.pictures import encoded, person
from tests.support.tiny_bundle import make_tiny_bundle

MONITORING = ROOT / "docker" / "monitoring"
OF_PROMETHEUS = {"up", "ALERTS"}
LABELS_OF_PROMETHEUS = {"job", "instance", "alertstate"}
NAME = re.compile(r"\b((?:dgrl|process)_\w+|up|ALERTS)\b")
SELECTOR = re.compile(r"\{[^}]*\}")
WITHOUT_PROMETHEUS = pytest.mark.skipif(
    not (shutil.which("promtool") and shutil.which("prometheus")),
    reason="needs prometheus and promtool (on Debian: apt-get install prometheus)",
)


def panels() -> list[dict[str, Any]]:
    text = (MONITORING / "grafana" / "dashboard.json").read_text(encoding="utf-8")
    return list(json.loads(text)["panels"])


def dashboard() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel.get("targets", [])]


def alerts() -> list[str]:
    text = (MONITORING / "alerts.yml").read_text(encoding="utf-8")
    return re.findall(r"^ +expr: (?:>-\n)?(.*?)(?=^ +for:)", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def live(
    tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Live, dict[Scope, str]]]:
    """A service behind keys to which everything happened that has a metric, a re-embedding under way included."""
    folder = tmp_path_factory.mktemp("monitored")
    store = KeyStore(folder / "keys.json")
    keys = {scope: store.create(str(scope), scope) for scope in Scope}
    settings = tiny_settings(
        tiny_bundle, folder, auth="keys", next_bundle=make_tiny_bundle(folder / "next", turn=5)
    )
    with serving(settings) as live, live.client(keys[Scope.ADMIN]) as client:
        use(live, client)
        yield live, keys


def use(live: Live, client: httpx.Client) -> None:
    picture = {"images": encoded(person(1))}
    statuses = [
        client.post("/gallery", files=picture, data={"identity": "anna"}).status_code,
        client.post("/query", files=picture).status_code,
        client.patch("/gallery/anna", json={"identity": "ben"}).status_code,
        client.delete("/gallery/ben").status_code,
        client.get("/audit").status_code,
        client.get("/readyz").status_code,
        client.get("/gallery", headers={"X-API-Key": "none"}).status_code,
        client.post("/reembedding").status_code,
    ]
    with live.services.admission.admit(live.services.settings.queue_images):
        statuses.append(client.post("/query", files=picture).status_code)
    assert statuses == [201, 200, 200, 204, 200, 200, 401, 202, 429]


def test_every_metric_and_label_that_is_asked_for_is_there(live: tuple[Live, dict[Scope, str]]) -> None:
    service, keys = live
    with service.client(keys[Scope.READ]) as client:
        text = client.get("/metrics").text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    names = {sample.name for sample in samples} | OF_PROMETHEUS
    labels = {label for sample in samples for label in sample.labels} | LABELS_OF_PROMETHEUS
    expressions = [*dashboard(), *alerts()]
    assert len(alerts()) == 6 and len(dashboard()) > 30
    for expression in expressions:
        asked = set(NAME.findall(SELECTOR.sub("", expression)))
        assert asked and asked <= names, (expression, asked - names)
        selected = {
            label for part in SELECTOR.findall(expression) for label in re.findall(r"(\w+)[=!]", part)
        }
        grouped = {label for part in re.findall(r"by \(([^)]*)\)", expression) for label in part.split(", ")}
        assert selected | grouped <= labels, expression


def test_the_panels_have_a_place_each_and_the_source_that_is_provisioned() -> None:
    source = (MONITORING / "grafana" / "datasource.yml").read_text(encoding="utf-8")
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        cells = {(x, y) for x in columns for y in range(place["y"], place["y"] + place["h"])}
        assert columns.stop <= 24 and not cells & taken, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or f"uid: {panel['datasource']['uid']}\n" in source
    assert len({panel["id"] for panel in panels()}) == len(panels())


@WITHOUT_PROMETHEUS
def test_the_alerts_come_when_they_should() -> None:
    promtool("check", "rules", str(MONITORING / "alerts.yml"))
    promtool("test", "rules", str(Path(__file__).with_name("alerts_test.yml")))


@WITHOUT_PROMETHEUS
def test_prometheus_reads_the_service_with_its_key_and_answers_the_dashboard(
    live: tuple[Live, dict[Scope, str]], tmp_path: Path
) -> None:
    """Its own configuration, but for the address and a reading each half second."""
    service, keys = live
    folder = tmp_path / "monitoring"
    shutil.copytree(MONITORING, folder)
    (folder / "key").write_text(keys[Scope.READ] + "\n", encoding="utf-8")
    configuration = (MONITORING / "prometheus.yml").read_text(encoding="utf-8")
    target = f"static_configs: [{{targets: ['{service.url.removeprefix('http://')}']}}]\n"
    configuration = re.sub(r"dns_sd_configs:.*", target, configuration, flags=re.DOTALL)
    configuration = re.sub(r"interval: 15s", "interval: 500ms", configuration)
    (folder / "prometheus.yml").write_text(configuration, encoding="utf-8")
    promtool("check", "config", str(folder / "prometheus.yml"))
    with prometheus(folder / "prometheus.yml", tmp_path / "data") as server:
        until(lambda: result(server, 'min_over_time(up{job="dgrl"}[1m]) and count_over_time(up[1m]) > 2'))
        for expression in dashboard():
            assert result(server, expression.replace("$__rate_interval", "1m")), expression
        groups = server.get("/api/v1/rules").json()["data"]["groups"]
    health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}
    assert len(health) == 6 and set(health.values()) == {"ok"}


def promtool(*arguments: str) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def prometheus(configuration: Path, data: Path) -> Iterator[httpx.Client]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    log = data.with_suffix(".log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={configuration}",
                f"--storage.tsdb.path={data}",
                f"--web.listen-address={address}",
            ],
            stdout=output,
            stderr=output,
        )
    try:
        with httpx.Client(base_url=f"http://{address}", trust_env=False) as client:
            until(lambda: ready(client))
            yield client
    finally:
        process.terminate()
        process.wait(30)


def ready(client: httpx.Client) -> bool:
    try:
        return client.get("/-/ready").status_code == 200
    except httpx.TransportError:
        return False


def result(client: httpx.Client, expression: str) -> list[Any]:
    answer = client.get("/api/v1/query", params={"query": expression})
    assert answer.status_code == 200, f"{expression}: {answer.text}"
    return list(answer.json()["data"]["result"])


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
