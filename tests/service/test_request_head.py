"""Heads that never end, in a process of its own: the connection is closed, and nobody else notices."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from service.request_head import MAX_BYTES
from tests.support.pictures import encoded, person
from tests.support.process import PLAIN, ServerProcess, started

START = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture(scope="module")
def server(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    settings = {**PLAIN, "DGRL_BODY_TIMEOUT_S": "1"}
    with started(tiny_bundle, tmp_path_factory.mktemp("heads"), settings=settings) as process:
        yield process


@pytest.fixture
def connection(server: ServerProcess) -> Iterator[socket.socket]:
    url = httpx.URL(server.url)
    with closing(socket.create_connection((url.host, url.port), timeout=60)) as opened:
        yield opened
    assert httpx.get(f"{server.url}/livez").status_code == 200


def rest(connection: socket.socket) -> bytes:
    """What comes until the service closes the connection."""
    received = b""
    try:
        while more := connection.recv(65536):
            received += more
    except ConnectionResetError:
        pass
    return received


def test_a_head_that_does_not_come_to_its_end(connection: socket.socket) -> None:
    connection.sendall(START)
    assert rest(connection).startswith(b"HTTP/1.1 408 ")


def test_a_connection_on_which_nothing_is_sent(connection: socket.socket) -> None:
    assert rest(connection) == b""


def test_a_second_head_that_does_not_come_to_its_end(connection: socket.socket) -> None:
    connection.sendall(START + b"\r\n" + START)
    answers = rest(connection)
    assert answers.startswith(b"HTTP/1.1 200 ") and b'{"status":"alive"}HTTP/1.1 408 ' in answers


def test_a_head_without_end(connection: socket.socket) -> None:
    sent = 0
    try:
        connection.sendall(START)
        while sent < 100 * MAX_BYTES:
            connection.sendall(b"X-Long: " + b"a" * 8000 + b"\r\n")
            sent += 8010
    except OSError:
        pass  # it closed meanwhile, which is what is asked for
    assert sent < 100 * MAX_BYTES or rest(connection).startswith(b"HTTP/1.1 431 ")


def test_a_large_body_in_the_first_read_is_no_large_head(server: ServerProcess) -> None:
    body = encoded(person(1)) + bytes(20 * MAX_BYTES)
    answer = httpx.post(f"{server.url}/embed", content=body, headers={"Content-Type": "image/png"})
    assert answer.status_code == 200


def test_a_kept_connection_outlives_the_time_for_one_head(server: ServerProcess) -> None:
    with httpx.Client(base_url=server.url) as client:
        first = client.get("/livez").extensions["network_stream"]
        rest_of_a_while = socket.create_connection((client.base_url.host, client.base_url.port), timeout=60)
        with closing(rest_of_a_while):
            assert rest(rest_of_a_while) == b""  # it was opened later, and is closed for its silence
        assert client.get("/livez").extensions["network_stream"] is first
