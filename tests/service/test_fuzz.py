"""Whatever is sent, the answer is a documented one: never a failure of the service, never a body of another kind."""

import json
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.problems import Kind
from tests.support.pictures import encoded, person

KNOWN = {(kind.type, kind.status) for kind in Kind if kind.status < 500}
ENROLMENT = ["images", "identity", "camera", "captured_at", "metadata", "x"]
SEARCH = [
    "top_k",
    "min_score",
    "since",
    "until",
    "prefix",
    "rerank",
    "exclude_camera",
    "return_super_resolved",
]
OTHERS = ["super_resolution", "embedding", "bundle"]
FIELDS = st.sampled_from([*ENROLMENT, *SEARCH, *OTHERS])
TEXT = st.text(max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.just("aGVsbG8="),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
PATHS = st.sampled_from(["/gallery", "/query", "/embed", "/verify", "/gallery/anna"])
SLOWLY = settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def documented(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert (problem["type"], answer.status_code) in KNOWN, problem


def send(client: httpx.Client, path: str, **content: object) -> httpx.Response:
    return client.request("PATCH" if path == "/gallery/anna" else "POST", path, **content)  # type: ignore[arg-type]


@SLOWLY
@given(PATHS, st.dictionaries(FIELDS, VALUES, max_size=5))
def test_any_json(client: httpx.Client, path: str, fields: dict[str, object]) -> None:
    body = json.dumps(fields).encode("utf-8", "surrogatepass")
    documented(send(client, path, content=body, headers={"Content-Type": "application/json"}))


@SLOWLY
@given(PATHS, st.lists(st.tuples(FIELDS, TEXT), max_size=5), st.booleans())
def test_any_form(client: httpx.Client, path: str, fields: list[tuple[str, str]], picture: bool) -> None:
    parts = [(name, (None, value.encode("utf-8", "surrogatepass"))) for name, value in fields]
    pictures = [("images", ("x.png", encoded(person(1))))] if picture else []
    documented(send(client, path, files=[*parts, *pictures] or [("x", (None, b""))]))


@SLOWLY
@given(
    PATHS, st.sampled_from(["image/png", "application/json", "multipart/form-data; boundary=x"]), st.binary()
)
def test_any_bytes(client: httpx.Client, path: str, kind: str, body: bytes) -> None:
    start = b"--x\r\nContent-Disposition: form-data; name=images; filename=a\r\n\r\n" if "x" in kind else b""
    documented(send(client, path, content=start + body, headers={"Content-Type": kind}))


@SLOWLY
@given(st.text(min_size=1, max_size=30), st.text(max_size=10), TEXT)
def test_any_address(client: httpx.Client, identity: str, image: str, cursor: str) -> None:
    try:
        address = f"/gallery/{quote(identity, safe='')}"
        documented(client.get(address, params={"cursor": cursor}))
        documented(client.get(f"{address}/images/{quote(image, safe='')}"))
        documented(client.delete(f"{address}/images/{quote(image, safe='')}"))
    except UnicodeEncodeError:
        pytest.skip("a lone surrogate cannot be sent")


@pytest.mark.parametrize(
    "raw", ["/gallery/%", "/gallery/%zz", "/gallery/%ff", "/gallery/%00", "/gallery/a%2", "/%2e%2e"]
)
def test_broken_percent_encoding(client: httpx.Client, raw: str) -> None:
    request = client.build_request("GET", "/")
    request.url = request.url.copy_with(raw_path=raw.encode())
    answer = client.send(request)
    documented(answer)
    assert not answer.is_success
