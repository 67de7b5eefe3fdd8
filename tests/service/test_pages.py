"""The web page and the reference need no other host; the OpenAPI describes what the routes take."""

import re
from importlib.resources import files
from typing import Any

import httpx
import pytest

from service.problems import Kind

STATIC = sorted((files("service") / "static").iterdir(), key=lambda file: file.name)
PAGES = ["/", "/docs", *(f"/static/{file.name}" for file in STATIC)]


@pytest.mark.parametrize("path", PAGES)
def test_a_page_refers_to_this_host_only(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    assert not re.search(r"https?://|//\w+\.\w+", answer.text)
    for name in re.findall(r'(?:src|href|from)[= ]"(/[^"]*)"', answer.text):
        assert client.get(name).status_code == 200, name


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_no_script_may_come_from_elsewhere(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "form-action 'none'" in headers["content-security-policy"]  # no key ever gets into an address
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
    assert not re.search(r"<script>|onclick=|style=", client.get(path).text)


def test_every_operation_describes_its_body_and_its_problems(client: httpx.Client) -> None:
    api = client.get("/openapi.json").json()
    schemas = api["components"]["schemas"]
    assert {"ProblemDetails", "FieldError", "QueryAnswer", "Enrolled"} <= schemas.keys()
    assert "HTTPValidationError" not in schemas
    for kind in Kind:
        assert kind.type in schemas["ProblemDetails"]["properties"]["type"]["description"]
    for path, methods in api["paths"].items():
        for method, operation in methods.items():
            takes_a_body = method in ("post", "patch") and not path.startswith("/reembedding")
            assert takes_a_body == ("requestBody" in operation), path
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert list(answer["content"]) == ["application/problem+json"], (path, status)
    fields = api["paths"]["/query"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    known = {"images", "top_k", "min_score", "camera", "exclude_camera", "since", "until", "prefix", "rerank"}
    assert {*known, "metadata"} <= fields["properties"].keys()
    assert fields["required"] == ["images"]
    assert fields["properties"]["images"]["maxItems"] == 64  # the setting
    names = [body["properties"]["identity"] for body in _bodies(api, "/gallery")]
    assert names and all((name["minLength"], name["maxLength"]) == (1, 128) for name in names)
    assert "null" not in str(_bodies(api, "/verify")[0]) and "null" in str(_bodies(api, "/verify")[1])


def _bodies(api: dict[str, Any], path: str) -> list[dict[str, Any]]:
    """As a form and as JSON."""
    content = api["paths"][path]["post"]["requestBody"]["content"]
    return [content[kind]["schema"] for kind in ("multipart/form-data", "application/json")]


def test_every_reference_in_the_openapi_resolves(client: httpx.Client) -> None:
    text = client.get("/openapi.json").text
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/(\w+)", text)) <= schemas.keys()
    assert "$defs" not in text


def test_every_enum_of_the_openapi_has_values_of_one_type(client: httpx.Client) -> None:
    """Generators of clients leave out the calls with others."""
    enums: list[list[Any]] = []

    def look(node: Any) -> None:
        if isinstance(node, dict) and isinstance(node.get("enum"), list):
            enums.append(node["enum"])
        for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            look(part)

    look(client.get("/openapi.json").json())
    assert ["auto", "off", "2", "3", "4"] in enums
    assert all(len({type(value) for value in values}) == 1 for values in enums)
