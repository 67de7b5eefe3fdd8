"""Every route asks for a key, by enumeration of the OpenAPI; scopes; the open loopback; revocation at once."""

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from service.keys import KeyStore, Scope
from tests.support.live import Live, serving, tiny_settings
from tests.support.pictures import encoded, person

URN = "urn:dgrl:problem:"
PUBLIC = {"/livez", "/readyz"}
NEEDED = {
    ("post", "/gallery"): Scope.ENROL,
    ("patch", "/gallery/{identity}"): Scope.ADMIN,
    ("get", "/audit"): Scope.ADMIN,
    ("get", "/reembedding"): Scope.ADMIN,
    ("post", "/reembedding"): Scope.ADMIN,
    ("delete", "/reembedding"): Scope.ADMIN,
    ("post", "/reembedding/switch"): Scope.ADMIN,
    ("get", "/reembedding/missing"): Scope.ADMIN,
    ("delete", "/reembedding/previous"): Scope.ADMIN,
    ("delete", "/gallery/{identity}"): Scope.ADMIN,
    ("delete", "/gallery/{identity}/images/{image_id}"): Scope.ADMIN,
}


@pytest.fixture
def guarded(serve: Callable[..., Live]) -> Live:
    return serve(auth="keys")


def store(live: Live) -> KeyStore:
    return KeyStore(live.services.settings.keys_path)


def operations(client: httpx.Client) -> list[tuple[str, str]]:
    paths = client.get("/openapi.json").json()["paths"]
    return [(method, path) for path, methods in paths.items() for method in methods]


def test_every_route_refuses_a_missing_or_bad_key(guarded: Live) -> None:
    """How quickly: tests.benchmarks.refusals."""
    real = store(guarded).create("reader", Scope.READ)
    bad = [
        "",
        "nonsense",
        real[:-1],
        real[:-1] + ("0" if real[-1] != "0" else "1"),
        "dgrl_00000000_" + "0" * 64,
    ]
    with guarded.client() as client:
        found = operations(client)
        assert len(found) >= 14
        for method, path in found:
            address = path.replace("{identity}", "anna").replace("{image_id}", "1")
            for header in [{}, *({"X-API-Key": key} for key in bad), {"Authorization": f"Bearer {bad[-1]}"}]:
                answer = client.request(method, address, headers=header, content=b"x" * 1000)
                if path in PUBLIC:
                    assert answer.status_code == 200
                    continue
                assert answer.status_code == 401, (method, path)
                assert answer.json()["type"] == URN + "unauthenticated"
                assert answer.headers["www-authenticate"] == "Bearer"


def test_every_route_asks_for_its_scope(guarded: Live) -> None:
    keys = {scope: store(guarded).create(scope, scope) for scope in Scope}
    with guarded.client() as client:
        for method, path in operations(client):
            address = path.replace("{identity}", "anna").replace("{image_id}", "1")
            needed = NEEDED.get((method, path), Scope.READ)
            for scope, key in keys.items():
                answer = client.request(method, address, headers={"X-API-Key": key})
                if path not in PUBLIC and not scope.includes(needed):
                    assert answer.status_code == 403 and answer.json()["type"] == URN + "forbidden"
                else:
                    assert answer.status_code not in (401, 403), (method, path, scope)


def test_a_key_works_as_header_and_as_bearer_until_it_is_revoked(guarded: Live) -> None:
    key = store(guarded).create("one", Scope.READ)
    with guarded.client() as client:
        assert client.get("/gallery", headers={"X-API-Key": key}).status_code == 200
        assert client.get("/gallery", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert store(guarded).revoke(key.split("_")[1])
        assert client.get("/gallery", headers={"X-API-Key": key}).status_code == 401


def test_the_first_start_shows_one_admin_key_and_stores_its_hash(
    tiny_bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = tiny_settings(tiny_bundle, tmp_path, auth="keys")
    with serving(settings) as live:
        lines = capfd.readouterr().err.splitlines()
        [key] = [line.strip() for line in lines if line.strip().startswith("dgrl_")]
        path = live.services.settings.keys_path
        assert path.stat().st_mode & 0o777 == 0o600
        assert key.rsplit("_", 1)[1] not in path.read_text()
        with live.client(key) as client:
            assert client.delete("/gallery/nobody").status_code == 404
    with serving(settings):
        assert "dgrl_" not in capfd.readouterr().err


def test_an_open_loopback_closes_with_the_first_key(serve: Callable[..., Live]) -> None:
    live = serve()
    with live.client() as client:
        model = client.get("/model").json()
        assert model["open"] is True and any("no API keys" in note for note in model["notes"])
        key = store(live).create("one", Scope.READ)
        assert client.get("/model").status_code == 401
        assert client.get("/model", headers={"X-API-Key": key}).json()["open"] is False
        live.services.settings.keys_path.unlink()
        assert client.get("/model").status_code == 401  # it does not open again


def test_an_open_service_refuses_other_web_sites(client: httpx.Client, live: Live) -> None:
    picture = {"images": encoded(person(1))}
    for header in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"Origin": "null"}):
        answer = client.post("/gallery", files=picture, data={"identity": "x"}, headers=header)
        assert answer.status_code == 403 and answer.json()["type"] == URN + "forbidden"
    assert client.get("/gallery").json()["identities"] == []
    assert client.post("/query", files=picture, headers={"Origin": live.url}).status_code == 200


def test_metrics_may_be_opened(serve: Callable[..., Live]) -> None:
    with serve(auth="keys", metrics_open=True).client() as client:
        assert client.get("/metrics").status_code == 200
        assert client.get("/model").status_code == 401
