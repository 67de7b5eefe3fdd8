"""The demonstration from the outside: what it prints, what it leaves behind, how it fails."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.readme import SHIPPED

COMMAND = [sys.executable, "-m", "service.demo"]
OFFLINE = ["unshare", "--map-root-user", "--net"]  # a network of its own, without a way out
LOOPBACK_UP = """
import fcntl, os, socket, struct, sys
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
with socket.socket() as any_socket:
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
os.execv(sys.executable, [sys.executable, "-m", "service.demo"])
"""


@pytest.fixture
def environment(tiny_bundle: Path, tmp_path: Path) -> dict[str, str]:
    """`tmp_path` is where its temporary files go."""
    return {**os.environ, "DGRL_BUNDLE": str(tiny_bundle), "TMPDIR": str(tmp_path)}


def test_it_ranks_the_people_and_leaves_nothing_behind(environment: dict[str, str], tmp_path: Path) -> None:
    result = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    right = found_first(result.stdout)
    assert f"{right} of 12 small crops found the right person first." in result.stdout
    assert right >= 9  # plain colours find most
    for title in ("decode", "super-resolve", "embed", "search", "whole query"):
        assert title in result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not SHIPPED.exists(), reason="no shipped bundle in this checkout")
def test_the_shipped_bundle_finds_nearly_everyone(environment: dict[str, str]) -> None:
    environment["DGRL_BUNDLE"] = str(SHIPPED)
    result = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, timeout=600)
    assert found_first(result.stdout) >= 10, result.stdout + result.stderr


def found_first(output: str) -> int:
    """For how many of the table's twelve probes the right person stands first."""
    rows = re.findall(r"│ (person-\d\d) │ +\d+x\d+ │ \S+ +│ (person-\d\d) +\d\.\d{3} │", output)
    assert [probe for probe, _ in rows] == [f"person-{number:02d}" for number in range(1, 13)], output
    return sum(probe == first for probe, first in rows)


def test_it_needs_no_network(environment: dict[str, str]) -> None:
    if subprocess.run([*OFFLINE, "true"], capture_output=True).returncode != 0:
        pytest.skip("this system lets no user make a network of their own")
    command = [*OFFLINE, sys.executable, "-c", LOOPBACK_UP]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stderr
    assert "small crops found the right person first." in result.stdout


def test_a_service_that_cannot_start_is_one_sentence(environment: dict[str, str], tmp_path: Path) -> None:
    environment["DGRL_BUNDLE"] = "/nowhere"
    result = subprocess.run(COMMAND, env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("Error: the service stopped with status 2: ")
    assert "/nowhere" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_stopped_half_way_it_stops_its_service(
    environment: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    with subprocess.Popen(COMMAND, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = process.stdout.readline()
        port = int(re.findall(r":(\d+)", ready)[0])
        process.send_signal(number)
        assert process.wait(timeout=60) != 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    assert list(tmp_path.iterdir()) == []


def test_a_busy_port_is_one_sentence(environment: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        command = [sys.executable, "-m", "service.cli", "serve", "--port", str(port)]
        environment["DGRL_DATA_DIR"] = str(tmp_path / "data")
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert result.returncode != 0
    assert len(result.stderr.splitlines()) == 1
    assert f"port {port} on 127.0.0.1 is in use" in result.stderr
