"""Requests that no well-behaved client sends: each is answered with what is wrong, and none is half obeyed."""

import base64
import json
import random
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.service.conftest import Enrol
from tests.service.test_bad_input import check
from tests.support.pictures import encoded, person

PICTURE = encoded(person(1))
BASE64 = base64.b64encode(PICTURE).decode()


def as_json(client: httpx.Client, path: str, text: str) -> httpx.Response:
    method = "PATCH" if path == "/gallery/anna" else "POST"
    return client.request(method, path, content=text.encode(), headers={"Content-Type": "application/json"})


def errors(answer: httpx.Response) -> dict[str, str]:
    problem: dict[str, Any] = check(answer, 422, "invalid-fields")
    return {error["field"]: error["message"] for error in problem["errors"]}


@pytest.mark.parametrize("name", ["Host", "Origin"])
@pytest.mark.parametrize("value", ["[", "http://[", "[::1", "http://[::1"])
def test_an_address_that_is_none(client: httpx.Client, name: str, value: str) -> None:
    answer = client.get("/gallery", headers={name: value})
    assert answer.status_code in (400, 403), answer.text


@pytest.mark.parametrize("field", ["since", "until", "captured_at"])
@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_utc_does_not_have(client: httpx.Client, enrol: Enrol, field: str, time: str) -> None:
    if field == "captured_at":
        answer = enrol("anna", (1,), captured_at=time)
    else:
        answer = client.post("/query", files={"images": PICTURE}, data={field: time})
    assert errors(answer) == {field: "in UTC it is not within the years 1 to 9999"}


def test_the_ends_of_time_are_stored_and_searched(client: httpx.Client, enrol: Enrol) -> None:
    ends = {"anna": "0001-01-01T00:00:00+00:00", "zoe": "9999-12-31T23:59:59+00:00"}
    for name, time in ends.items():
        assert enrol(name, (1,), captured_at=time).status_code == 201
    for name, fields in {"anna": {"until": "0001-01-02"}, "zoe": {"since": "9999-12-31T23:59:59Z"}}.items():
        found = client.post("/query", files={"images": PICTURE}, data=fields).json()["matches"]
        assert [match["identity"] for match in found] == [name]


@pytest.mark.parametrize(
    ("path", "text", "field"),
    [
        ("/query", f'{{"images": ["{BASE64}"], "top_k": 1, "top_k": 2}}', "top_k"),
        ("/gallery", f'{{"images": ["{BASE64}"], "identity": "x", "metadata": {{"a": 1, "a": 2}}}}', "a"),
        ("/gallery/anna", '{"identity": "x", "identity": "y"}', "identity"),
    ],
)
def test_a_name_twice_in_json(client: httpx.Client, path: str, text: str, field: str) -> None:
    assert errors(as_json(client, path, text)) == {field: "given more than once"}


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("limt=5", {"limt": "no such parameter; there are: cursor, limit, prefix"}),
        ("limit=1&limit=2", {"limit": "given more than once"}),
        (
            "cursor=nonsense",
            {"cursor": "not of this listing: send `next_cursor` of the page before as it came"},
        ),
        (f"prefix={'p' * 129}", {"prefix": "must have at most 128 characters, not 129"}),
    ],
)
def test_a_wrong_parameter_of_a_listing(
    client: httpx.Client, parameters: str, expected: dict[str, str]
) -> None:
    assert errors(client.get(f"/gallery?{parameters}")) == expected


@pytest.mark.parametrize("path", ["/gallery/anna", "/audit"])
def test_no_listing_takes_a_parameter_that_it_lacks(client: httpx.Client, enrol: Enrol, path: str) -> None:
    enrol("anna", (1,))
    assert errors(client.get(path, params={"prefix": "a"})) == {
        "prefix": "no such parameter; there are: cursor, limit"
    }


def test_a_prefix_is_measured_as_it_is_compared(client: httpx.Client, enrol: Enrol) -> None:
    name, typed = "\u00e9" * 128, "e\u0301" * 128
    enrol(name, (1,))
    listed = client.get("/gallery", params={"prefix": typed}).json()["identities"]
    assert [found["identity"] for found in listed] == [name]
    answer = client.post("/query", files={"images": PICTURE}, data={"prefix": typed})
    assert [match["identity"] for match in answer.json()["matches"]] == [name]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"camera": "c" * 129}, {"camera": "must have at most 128 characters, not 129"}),
        ({"metadata": "[1]"}, {"metadata": "expected a JSON object"}),
        ({"metadata": '{"a": "\\ud800"}'}, {"metadata": "half of a surrogate pair is no text"}),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(
    enrol: Enrol, fields: dict[str, str], expected: dict[str, str]
) -> None:
    assert errors(enrol("anna", (1,), **fields)) == expected


@pytest.mark.parametrize("vector", [["a"] * 16, [True] * 16, "[1,", {"a": 1}])
def test_a_vector_of_something_else(client: httpx.Client, vector: object) -> None:
    answer = client.post("/verify", json={"identity": "anna", "embedding": vector, "bundle": "x"})
    assert "embedding" in errors(answer)


@pytest.mark.parametrize(
    "fields",
    [
        {f"field-{number}": 1 for number in range(20_000)},
        {"embedding": ["a"] * 20_000},
        {"images": ["!"] * 20_000},
        {"x" * 100_000: 1},
        {"identity": "anna", "embedding": [1.0], "bundle": "x" * 100_000},
    ],
)
def test_many_mistakes_do_not_make_a_large_answer(client: httpx.Client, fields: dict[str, object]) -> None:
    answer = as_json(client, "/verify", json.dumps(fields))
    check(answer, 422, "invalid-fields")
    assert len(answer.content) < 10_000


@pytest.mark.parametrize(
    "fields",
    [
        {f"field-{number}": 1 for number in range(30_000)},
        {"images": [BASE64], "embedding": [0.5] * 60_000},
        {"images": [BASE64], "metadata": json.dumps([0] * 60_000)},
        {"images": [BASE64], "metadata": {"a": [[]] * 30_000}},
    ],
)
def test_json_that_would_hold_up_everybody_is_not_parsed(
    client: httpx.Client, fields: dict[str, object]
) -> None:
    problem = check(as_json(client, "/verify", json.dumps(fields)), 400, "invalid-request")
    assert problem["detail"] == "the body is JSON of more than 50,000 names and values"


def test_a_picture_of_megabytes_comes_in_json(client: httpx.Client) -> None:
    noise = Image.frombytes("RGB", (1000, 2000), random.Random(1).randbytes(6_000_000))
    body = {"images": [base64.b64encode(encoded(noise)).decode()]}
    assert client.post("/query", json=body).status_code == 200


def test_at_most_256_cameras_are_told_apart(client: httpx.Client) -> None:
    body = {"images": [BASE64], "camera": [f"camera-{number}" for number in range(257)]}
    assert "camera" in errors(client.post("/query", json=body))
    body["camera"].pop()
    assert client.post("/query", json=body).status_code == 200


def test_a_rename_takes_no_picture(client: httpx.Client, enrol: Enrol) -> None:
    enrol("anna", (1,))
    for count in (1, 2, 300):
        files = [("images", ("a.png", b"x"))] * count
        assert "images" in errors(client.patch("/gallery/anna", data={"identity": "ben"}, files=files))
    answer = client.patch(
        "/gallery/anna?identity=ben", content=PICTURE, headers={"Content-Type": "image/png"}
    )
    problem = check(answer, 422, "invalid-fields")
    assert problem["detail"] == "identity: send it in the body"
    answer = client.patch("/gallery/anna", content=PICTURE, headers={"Content-Type": "image/png"})
    check(answer, 415, "unsupported-media-type")
    assert client.get("/gallery/anna").status_code == 200


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/gallery", {"GET", "POST"}),
        ("/gallery/anna", {"GET", "PATCH", "DELETE"}),
        ("/gallery/anna/images/1", {"GET", "DELETE"}),
        ("/reembedding", {"GET", "POST", "DELETE"}),
        ("/query", {"POST"}),
        ("/openapi.json", {"GET", "HEAD"}),
        ("/static/page.js", {"GET", "HEAD"}),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(client: httpx.Client, path: str, allowed: set[str]) -> None:
    answer = client.put(path)
    check(answer, 405, "method-not-allowed")
    assert set(answer.headers["allow"].split(", ")) == allowed
