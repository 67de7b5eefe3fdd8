"""The body is counted before anything parses it: announced, chunked, endless, slow, broken off."""

import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest

from tests.support.live import Live
from tests.support.pictures import encoded, person

MIB = 1024 * 1024


def chunks(size: int) -> Iterator[bytes]:
    for _ in range(size // MIB):
        yield bytes(MIB)


def refused(answer: httpx.Response) -> None:
    assert answer.status_code == 413, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "urn:dgrl:problem:body-too-large"
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("path", ["/gallery", "/query", "/gallery/anna", "/nowhere"])
@pytest.mark.parametrize("kind", ["image/jpeg", "application/json", "multipart/form-data; boundary=x"])
def test_30_mb_with_content_length(client: httpx.Client, path: str, kind: str) -> None:
    method = "PATCH" if path == "/gallery/anna" else "POST"
    refused(client.request(method, path, content=bytes(30 * MIB), headers={"Content-Type": kind}))
    assert client.get("/livez").status_code == 200


@pytest.mark.parametrize("path", ["/gallery", "/query"])
@pytest.mark.parametrize("kind", ["image/jpeg", "application/json", "multipart/form-data; boundary=x"])
def test_30_mb_in_chunks(client: httpx.Client, path: str, kind: str) -> None:
    start = b"--x\r\nContent-Disposition: form-data; name=images; filename=a.jpg\r\n\r\n"

    def body() -> Iterator[bytes]:
        yield start if "multipart" in kind else b""
        yield from chunks(30 * MIB)

    answer = client.post(path, content=body(), headers={"Content-Type": kind})
    assert "content-length" not in answer.request.headers
    refused(answer)
    assert client.get("/gallery").json()["identities"] == []


def test_an_endless_body_is_cut_off(live: Live) -> None:
    """The sender goes on for as long as it is let; the server neither stores nor waits."""
    host, port = live.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"POST /query HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        sent, start = 0, time.monotonic()
        try:
            while time.monotonic() - start < 20:
                connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
                sent += 65536
        except OSError:
            pass
        assert sent >= 20 * MIB and time.monotonic() - start < 15


def test_a_slow_body_is_given_up(serve: Callable[..., Live]) -> None:
    host, port = serve(body_timeout_s=0.3).url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        head = b"POST /query HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 500\r\n\r\n"
        connection.sendall(head + b"slow")
        answer = b""
        while part := connection.recv(4096):
            answer += part
    assert answer.startswith(b"HTTP/1.1 400") and b"invalid-request" in answer


def test_a_broken_off_upload_stores_nothing(client: httpx.Client, live: Live) -> None:
    host, port = live.url.removeprefix("http://").split(":")
    body = encoded(person(1))
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        head = "POST /gallery?identity=x HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[: len(body) // 2])
    assert client.get("/livez").status_code == 200
    assert client.get("/gallery").json()["identities"] == []


def test_curls_expect_100_continue_is_answered_with_the_refusal(live: Live) -> None:
    host, port = live.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        head = b"POST /query HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"
        connection.sendall(head)
        received = b""
        while part := connection.recv(4096):
            received += part
    assert received.startswith(b"HTTP/1.1 413") and b"100 Continue" not in received


def test_a_body_at_the_limit_is_read(serve: Callable[..., Live]) -> None:
    picture = encoded(person(1))
    with serve(max_body_bytes=max(1024, len(picture))).client() as client:
        kind = {"Content-Type": "image/png"}
        padded = picture + bytes(max(0, 1024 - len(picture)))
        assert client.post("/query", content=padded, headers=kind).status_code == 200
        assert client.post("/query", content=padded + b"x", headers=kind).status_code == 413


def test_all_bodies_together_are_bounded(serve: Callable[..., Live]) -> None:
    """Of 40 uploads that stop just short of their end 32 are held; the others are told to come back."""
    live = serve(max_body_bytes=100_000)
    host, port = live.url.removeprefix("http://").split(":")
    head = b"POST /query HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\nContent-Length: 100000\r\n\r\n"
    with ExitStack() as stack, live.client() as client:
        uploads = [
            stack.enter_context(socket.create_connection((host, int(port)), timeout=20)) for _ in range(40)
        ]
        for upload in uploads:
            upload.sendall(head + bytes(99_000))
        end, refused = time.monotonic() + 20, []
        while len(refused) < 8:
            assert time.monotonic() < end
            refused = select.select(uploads, [], [], 0.1)[0]
        for upload in refused:
            answer = upload.recv(4096)
            assert answer.startswith(b"HTTP/1.1 429") and b"retry-after: 1" in answer
        assert client.get("/livez").status_code == 200
    with live.client() as client:
        assert client.post("/query", files={"images": encoded(person(1))}).status_code == 200
