"""The audit log: every change and search under the name of the key that asked for it."""

from collections.abc import Callable

import httpx
from typer.testing import CliRunner

from service.cli import app
from service.client import Client
from service.keys import KeyStore, Scope
from tests.support.live import Live
from tests.support.pictures import encoded, person


def key_of(live: Live, name: str, scope: Scope) -> tuple[str, str]:
    """A new key, and its caller's name in the log."""
    key = KeyStore(live.services.settings.keys_path).create(name, scope)
    return key, f"{name} ({key.split('_')[1]})"


def test_who_did_what(serve: Callable[..., Live]) -> None:
    live = serve(auth="keys")
    picture = {"images": encoded(person(1))}
    camera, guard, owner = (
        key_of(live, name, scope)
        for name, scope in (("camera 7", Scope.ENROL), ("guard", Scope.READ), ("owner", Scope.ADMIN))
    )
    with live.client(camera[0]) as client:
        [image] = client.post("/gallery", files=picture, data={"identity": "anna"}).json()["images"]
        client.post("/gallery", files=picture, data={"identity": "anna"})  # a duplicate: nothing changes
    with live.client(guard[0]) as client:
        for _ in range(3):
            assert client.post("/query", files=picture).status_code == 200
        client.post("/verify", files=picture, data={"identity": "anna"})
        client.get("/readyz")  # searches too, but for nobody
    with live.client(owner[0]) as client:
        client.patch("/gallery/anna", json={"identity": "bea"})
        client.delete("/gallery/bea")
        live.services.gallery._log_searches()  # type: ignore[attr-defined]  # as it does every 5 s
        found = client.get("/audit").json()
    lines = [(line["actor"], line["action"], line["detail"]) for line in found["lines"]]
    assert lines == [
        (camera[1], "enrol", {"identity": "anna", "images": [image["image_id"]]}),
        (owner[1], "rename", {"identity": "anna", "new": "bea", "images": 1}),
        (owner[1], "delete", {"identity": "bea", "images": [image["image_id"]]}),
        (guard[1], "search", {"searches": 4, "probes": 4}),
    ]
    assert found["next_cursor"] is None


def test_without_keys_the_caller_is_open(serve: Callable[..., Live]) -> None:
    with serve().client() as client:
        client.post("/gallery", files={"images": encoded(person(1))}, data={"identity": "anna"})
        assert [line["actor"] for line in client.get("/audit").json()["lines"]] == ["open"]


def test_page_by_page_by_client_and_by_command(serve: Callable[..., Live]) -> None:
    live = serve()
    with live.client() as client:
        for number in range(5):
            client.post(
                "/gallery", files={"images": encoded(person(number))}, data={"identity": f"p{number}"}
            )
        first = client.get("/audit", params={"limit": 2}).json()
        rest = client.get("/audit", params={"limit": 100, "cursor": first["next_cursor"]}).json()
        assert client.get("/audit", params={"cursor": "made up"}).status_code == 422
    names = [line["detail"]["identity"] for line in (*first["lines"], *rest["lines"])]
    assert len(first["lines"]) == 2 and names == [f"p{number}" for number in range(5)]
    with Client(live.url) as mine:
        assert [line.detail["identity"] for line in mine.audit()] == names
    runner = CliRunner(env={"DGRL_URL": live.url})
    printed = runner.invoke(app, ["audit"]).stdout.splitlines()
    assert len(printed) == 5 and "Z  open  enrol  " in printed[3] and '"identity": "p3"' in printed[3]
    [line, *_] = runner.invoke(app, ["audit", "--json"]).stdout.splitlines()
    assert httpx.Response(200, content=line).json()["action"] == "enrol"
