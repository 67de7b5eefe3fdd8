"""A real Milvus server (the PyPI package `milvus`) in a process of its own, to be killed and started again."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import milvus
from pymilvus import MilvusClient

_START_S = 180
_EMBEDDED = "  use:\n    embed: true"


class MilvusProcess:
    """Keeps its data in `folder` and its ports, so that a client finds it again after a restart."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        names = [name for name in milvus.MilvusServerConfig().configurable_items if name.endswith("_port")]
        ports = dict(zip([*names, "health", "etcd_peer"], _free_ports(len(names) + 2), strict=True))
        self.port, self._health = ports["proxy_port"], ports.pop("health")
        peer = ports.pop("etcd_peer")
        milvus.MilvusServerConfig(data_dir=str(folder), **ports).resolve()
        _configure_etcd(folder / "configs", ports["etcd_port"], peer)
        # Unpacked once: it takes seconds, and 400 MB.
        self._programs = Path(tempfile.gettempdir()) / f"milvus-{milvus.__version__}-{os.getuid()}"
        milvus._initialize_data_files(str(self._programs))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Returns once it answers."""
        programs = self._programs / "bin"
        environment = {
            **os.environ,
            "DEPLOY_MODE": "STANDALONE",
            "METRICS_PORT": str(self._health),
            "LD_LIBRARY_PATH": str(programs),
        }
        with (self._folder / "milvus.log").open("ab") as log:
            self._process = subprocess.Popen(
                # However the tests end, the server ends with them.
                ["setpriv", "--pdeathsig", "KILL", programs / "milvus", "run", "standalone"],
                cwd=self._folder,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self._wait_healthy()

    def _wait_healthy(self) -> None:
        end = time.monotonic() + _START_S
        while time.monotonic() < end and self._process is not None and self._process.poll() is None:
            with (
                contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError),
                urllib.request.urlopen(f"http://127.0.0.1:{self._health}/healthz", timeout=5) as answer,
            ):
                if b"OK" in answer.read():
                    return
            time.sleep(0.1)
        raise RuntimeError(f"Milvus did not start: see {self._folder / 'milvus.log'}")

    def empty(self, *kept: str) -> None:
        """Drop all collections but those `kept`, which only lose their rows: making one takes seconds."""
        client = MilvusClient(f"http://{self.address}")
        for name in client.list_collections():
            if name in kept:
                client.delete(name, filter='identity >= ""' if name.endswith("_people") else "id >= 0")
            else:
                client.drop_collection(name)
        client.close()

    def kill(self) -> None:
        """As `kill -9` does: nothing more runs in it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@contextlib.contextmanager
def milvus_server(folder: Path) -> Iterator[MilvusProcess]:
    server = MilvusProcess(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        listeners = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(listener.getsockname()[1]) for listener in listeners]


def _configure_etcd(folder: Path, port: int, peer_port: int) -> None:
    """Its second port is fixed otherwise, so that a machine could run one server only."""
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    path, settings = folder / "etcd.yaml", folder / "milvus.yaml"
    path.write_text(
        f"name: default\nlisten-client-urls: {client}\nadvertise-client-urls: {client}\n"
        f"listen-peer-urls: {peer}\ninitial-advertise-peer-urls: {peer}\ninitial-cluster: default={peer}\n"
    )
    text = settings.read_text()
    assert _EMBEDDED in text
    settings.write_text(text.replace(_EMBEDDED, f"  config:\n    path: {path}\n{_EMBEDDED}", 1))
