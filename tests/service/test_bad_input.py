"""Hostile and broken uploads through a real server: the status, the problem, nothing stored, and still alive."""

import struct
import zlib
from collections.abc import Iterator

import httpx
import pytest

from tests.service.conftest import Enrol
from tests.support.pictures import encoded, person

URN = "urn:dgrl:problem:"
JPEG = encoded(person(1, 128), "JPEG")


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that would unfold to width x height pixels."""
    packer = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _png_chunk(b"IHDR", header)
        + _png_chunk(b"IDAT", rows)
        + _png_chunk(b"IEND", b"")
    )


BAD_FILES = {
    "empty file": (b"", 422, "image-undecodable"),
    "truncated JPEG": (JPEG[: len(JPEG) // 2], 422, "image-undecodable"),
    "JPEG cut in its header": (JPEG[:30], 422, "image-undecodable"),
    "text named .jpg": (b"this is not a picture\n" * 20, 415, "unsupported-media-type"),
    "GIF": (encoded(person(1), "GIF"), 415, "unsupported-media-type"),
    "TIFF": (encoded(person(1), "TIFF"), 415, "unsupported-media-type"),
    "bomb of 30,000 x 30,000": (bomb(30_000, 30_000), 422, "image-too-many-pixels"),
    "20,000 x 20,000": (bomb(20_000, 20_000), 422, "image-too-many-pixels"),
    "1 x 1": (encoded(person(1, 128).resize((1, 1))), 422, "image-too-small"),
    "15 pixels high": (encoded(person(1, 128).resize((8, 15))), 422, "image-too-small"),
    "PNG of nonsense": (b"\x89PNG\r\n\x1a\n" + bytes(200), 422, "image-undecodable"),
}


@pytest.fixture
def untouched(client: httpx.Client, enrol: Enrol) -> Iterator[None]:
    """One person is enrolled before; afterwards exactly that one is, and the server works as before."""
    enrol("anna", (1,))
    before = client.get("/gallery").json()
    yield
    assert client.get("/gallery").json() == before
    assert client.get("/readyz").status_code == 200
    answer = client.post("/query", files={"images": encoded(person(1))}).json()
    assert answer["matches"][0]["identity"] == "anna"


def check(answer: httpx.Response, status: int, slug: str) -> dict[str, object]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = dict(answer.json())
    assert problem["type"] == URN + slug and problem["status"] == status and problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text and "/work" not in answer.text
    return problem


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("path", ["/gallery", "/query", "/embed", "/verify"])
def test_a_bad_file(client: httpx.Client, name: str, path: str) -> None:
    data, status, slug = BAD_FILES[name]
    files = [("images", ("crop.jpg", data, "image/jpeg"))]
    fields = {"identity": "anna"} if path in ("/gallery", "/verify") else {}
    check(client.post(path, files=files, data=fields), status, slug)


@pytest.mark.usefixtures("untouched")
def test_too_small_says_the_measured_size(client: httpx.Client) -> None:
    tiny = encoded(person(1, 128).resize((5, 9)))
    for path, fields in (("/gallery", {"identity": "x"}), ("/query", {})):
        problem = check(client.post(path, files={"images": tiny}, data=fields), 422, "image-too-small")
        assert "5x9" in str(problem["detail"])


PART = b"--x\r\nContent-Disposition: form-data; name=%s\r\n\r\n"
CUT_OFF = PART % b"images; filename=a.jpg" + JPEG + b"\r\n"  # the closing boundary is missing
NAMELESS = b"--x\r\nContent-Disposition: form-data\r\n\r\n--x--"
NOT_UTF8 = PART % b"identity" + b"\xff\r\n--x--\r\n"
WRONG_FIELDS = {
    "file under another name": ([("identity", "x")], [("image", JPEG)], "image"),
    "no file": ([("identity", "x")], [], "images"),
    "no identity": ([], [("images", JPEG)], "identity"),
    "misspelt field": ([("identity", "x"), ("camra", "c")], [("images", JPEG)], "camra"),
    "text for a file": ([("identity", "x"), ("images", "abc")], [("images", JPEG)], "images"),
    "a field twice": ([("identity", "x"), ("identity", "y")], [("images", JPEG)], "identity"),
}


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("name", WRONG_FIELDS)
def test_wrong_field_names(client: httpx.Client, name: str) -> None:
    fields, files, field = WRONG_FIELDS[name]
    parts = [(name, (None, value)) for name, value in fields]
    problem = check(client.post("/gallery", files=parts + files), 422, "invalid-fields")
    assert problem["errors"][0]["field"] == field  # type: ignore[index]


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    ("kind", "body", "status", "slug"),
    [
        ("multipart/form-data; boundary=x", b"--x\r\nnonsense", 400, "invalid-request"),
        ("multipart/form-data; boundary=x", b"nonsense", 400, "invalid-request"),
        ("multipart/form-data", b"", 400, "invalid-request"),
        ("multipart/form-data; boundary=x", CUT_OFF, 400, "invalid-request"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data\r\n\r\n--x--",
            400,
            "invalid-request",
        ),
        ("multipart/form-data; boundary=x", NOT_UTF8, 400, "invalid-request"),
        ("application/json", b"{", 400, "invalid-request"),
        ("application/json", b"[1]", 400, "invalid-request"),
        ("application/json", b'{"images": "x"}', 422, "invalid-fields"),
        ("application/json", b'{"images": ["!"], "identity": "x"}', 422, "invalid-fields"),
        ("application/json", b"[" * 100_000, 400, "invalid-request"),
        ("text/plain", b"hello", 415, "unsupported-media-type"),
        ("application/x-www-form-urlencoded", b"identity=x", 415, "unsupported-media-type"),
        ("", b"hello", 415, "unsupported-media-type"),
    ],
)
def test_a_body_of_another_kind(client: httpx.Client, kind: str, body: bytes, status: int, slug: str) -> None:
    for path in ("/gallery", "/query"):
        check(client.post(path, content=body, headers={"Content-Type": kind} if kind else {}), status, slug)


@pytest.mark.usefixtures("untouched")
def test_too_many_files(client: httpx.Client, live: object) -> None:
    files = [("images", (f"{n}.jpg", JPEG)) for n in range(65)]
    check(client.post("/gallery", files=files, data={"identity": "x"}), 422, "invalid-fields")
    files += [("images", (f"{n}.jpg", JPEG)) for n in range(65)]
    check(client.post("/gallery", files=files, data={"identity": "x"}), 422, "invalid-fields")


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize(
    "path", ["/gallery/nobody", "/gallery/nobody/images/1", "/gallery/anna/images/%2e%2e%2fx"]
)
def test_an_unknown_identity_or_image(client: httpx.Client, path: str) -> None:
    slug = "unknown-image" if "anna" in path else "unknown-identity"
    check(client.get(path), 404, slug)


@pytest.mark.usefixtures("untouched")
def test_addresses_and_methods_that_do_not_exist(client: httpx.Client) -> None:
    check(client.get("/galery"), 404, "not-found")
    check(client.get("/gallery/"), 404, "not-found")
    check(client.get("/gallery/anna/pictures"), 404, "not-found")
    check(client.put("/gallery"), 405, "method-not-allowed")
    check(client.get("/query"), 405, "method-not-allowed")
    check(client.get("/static/../app.py"), 404, "not-found")
    check(client.get("/gallery/%ff"), 422, "invalid-fields")
