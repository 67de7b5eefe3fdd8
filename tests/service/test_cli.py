"""The command line as its users run it: in a process of its own, with exit codes and one sentence."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import typer
from typer.testing import CliRunner

from service.cli import app
from service.cli_common import Complaints
from service.client import ServiceError
from tests.support.live import Live
from tests.support.pictures import encoded, low_resolution, person
from tests.support.process import environment, started

SERVE = [sys.executable, "-m", "service.cli", "serve"]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cli")


def failed(arguments: list[str], **variables: str) -> str:
    done = subprocess.run(
        [*SERVE, *arguments],
        env=environment() | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    sentences = [line for line in done.stderr.splitlines() if line.startswith("dgrl: ")]
    assert len(sentences) == 1 and "Traceback" not in done.stderr, done.stderr
    return sentences[0]


def test_a_busy_port_is_one_sentence(tiny_bundle: Path, data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        said = failed(["--port", port, "--bundle", str(tiny_bundle), "--data-dir", str(data_dir)])
    assert said == f"dgrl: port {port} on 127.0.0.1 is in use by another program"


def test_a_missing_bundle_is_one_sentence(data_dir: Path) -> None:
    said = failed(["--port", "0", "--bundle", str(data_dir / "none"), "--data-dir", str(data_dir)])
    assert "no bundle in" in said and "manifest.json" in said


def test_a_damaged_bundle_names_the_file(tiny_bundle: Path, data_dir: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "bundle"
    shutil.copytree(tiny_bundle, damaged)
    weights = damaged / "weights" / "shared.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    said = failed(["--port", "0", "--bundle", str(damaged), "--data-dir", str(data_dir)])
    assert "weights/shared.bin" in said and "sha256" in said


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"DGRL_PORTT": "1"}, "DGRL_PORTT is not a setting; did you mean DGRL_PORT?"),
        (
            {"DGRL_AUTH": "open", "DGRL_HOST": "0.0.0.0"},
            "auth=open is for loopback only, and host is 0.0.0.0",
        ),
        ({"DGRL_PROVIDER": "cuda"}, "cuda was asked for, but the installed ONNX Runtime offers only"),
        ({"DGRL_GALLERY": "mysql:///x"}, "unknown gallery engine 'mysql'"),
    ],
)
def test_wrong_settings_are_one_sentence(
    tiny_bundle: Path, data_dir: Path, variables: dict[str, str], sentence: str
) -> None:
    said = failed(["--port", "0", "--bundle", str(tiny_bundle), "--data-dir", str(data_dir)], **variables)
    assert sentence in said


def test_a_bundle_other_than_the_gallerys_is_refused(live: Live, tiny_bundle: Path, tmp_path: Path) -> None:
    """The gallery of the session's service is also held open by it: either is one sentence."""
    folder = live.services.settings.data_dir
    said = failed(["--port", "0", "--bundle", str(tiny_bundle), "--data-dir", str(folder)])
    assert "already open" in said


def test_beyond_loopback_a_revoked_last_key_keeps_the_door_shut(tiny_bundle: Path, tmp_path: Path) -> None:
    runner = CliRunner()
    none = runner.invoke(app, ["keys", "list", "--data-dir", str(tmp_path)])
    assert (none.exit_code, none.stdout) == (0, "") and f"no keys in {tmp_path}/keys.json" in none.stderr
    made = runner.invoke(app, ["keys", "create", "camera 7", "--scope", "enrol", "--data-dir", str(tmp_path)])
    key = made.stdout.strip()
    assert made.exit_code == 0 and key.startswith("dgrl_") and f"{tmp_path}/keys.json" in made.stderr
    listed = runner.invoke(app, ["keys", "list", "--data-dir", str(tmp_path)]).stdout
    assert key.split("_")[1] in listed and "enrol" in listed and "camera 7" in listed
    assert (
        runner.invoke(app, ["keys", "revoke", key.split("_")[1], "--data-dir", str(tmp_path)]).exit_code == 0
    )
    gone = runner.invoke(app, ["keys", "revoke", "00000000", "--data-dir", str(tmp_path)])
    assert gone.exit_code == 2 and "there is no key" in gone.stderr
    said = failed(
        ["--host", "0.0.0.0", "--port", "0", "--bundle", str(tiny_bundle), "--data-dir", str(tmp_path)]
    )
    assert "holds no API key" in said


def test_a_signal_stops_it_cleanly(tiny_bundle: Path, tmp_path: Path) -> None:
    with started(tiny_bundle, tmp_path, wait=False) as process:
        process.wait_ready()
        process.terminate()
        assert process.finish() == 0
        log = process.log()
    assert '"listening on http://127.0.0.1:' in log and '"closed"' in log and "Traceback" not in log


@pytest.fixture
def people(tmp_path: Path) -> Iterator[Path]:
    for number in range(3):
        folder = tmp_path / "people" / f"person {number}"
        folder.mkdir(parents=True)
        for variant in range(2):
            (folder / f"{variant}.png").write_bytes(encoded(person(number, variant=variant)))
    yield tmp_path / "people"


def test_query_prints_a_ranking(client: httpx.Client, live: Live, people: Path, tmp_path: Path) -> None:
    runner = CliRunner(env={"DGRL_URL": live.url, "COLUMNS": "120"})
    runner.invoke(app, ["enrol", str(people)])
    probe = tmp_path / "probe.png"
    probe.write_bytes(encoded(low_resolution(person(2, variant=5), 4)))
    printed = runner.invoke(app, ["query", str(probe)]).stdout
    assert "8x16 pixels, super-resolved x4" in printed
    assert printed.index("person 2") < printed.index("person 0")
    printed = runner.invoke(app, ["query", str(probe), "--rerank", "--prefix", "person 1"]).stdout
    assert "person 1" in printed and "person 0" not in printed and "k-reciprocal order" in printed
    printed = runner.invoke(app, ["query", str(probe), str(probe), "--prefix", "nobody"]).stdout
    assert "2 crops as one, the middle one 8x16" in printed and "nobody to rank" in printed


def test_query_prints_an_identity_as_it_is(client: httpx.Client, live: Live, tmp_path: Path) -> None:
    probe = tmp_path / "probe.png"
    probe.write_bytes(encoded(person(1)))
    client.post("/gallery", files={"images": probe.read_bytes()}, data={"identity": "a[/b] [bold]c"})
    printed = CliRunner(env={"DGRL_URL": live.url}).invoke(app, ["query", str(probe)]).stdout
    assert "a[/b] [bold]c" in printed


def test_no_server_is_one_sentence(people: Path) -> None:
    done = CliRunner(env={"DGRL_URL": "http://127.0.0.1:9"}).invoke(app, ["enrol", str(people)])
    assert done.exit_code == 2 and done.stdout == ""
    assert done.stderr.startswith("dgrl: no answer from http://127.0.0.1:9/ (") and "--url" in done.stderr
    for wrong in ("127.0.0.1:8000", "http://[::1"):
        done = CliRunner(env={"DGRL_URL": wrong}).invoke(app, ["audit"])
        assert done.exit_code == 2 and "takes an address such as http://" in done.stderr, wrong


def test_what_the_log_says_more_of_is_named_by_its_request(capsys: pytest.CaptureFixture[str]) -> None:
    problem = {"title": "No room", "detail": "see the log under this request id", "request_id": "5eed"}
    for status, end in ((507, "request id: 5eed\n"), (422, "request id\n")):
        with pytest.raises(typer.Exit), Complaints():
            raise ServiceError(status, problem)
        assert capsys.readouterr().err.endswith(end)


def test_doctor_version_and_settings() -> None:
    runner = CliRunner()
    report = runner.invoke(app, ["doctor"])
    assert report.exit_code == 0, report.stderr
    for name in ("python", "cores", "cpu flags", "onnxruntime offers", "gpu", "numpy"):
        assert name in report.stdout
    assert runner.invoke(app, ["version"]).exit_code == 0
    assert "DGRL_MAX_BODY_BYTES=20971520" in runner.invoke(app, ["settings"]).stdout


def test_doctor_does_not_wait_for_a_driver_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nexec sleep 600\n", encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr("service.doctor._GPU_S", 1)
    report = CliRunner().invoke(app, ["doctor"])
    assert report.exit_code == 0 and "nvidia-smi gave no answer within 1 s" in report.stdout


def test_a_query_takes_every_filter_and_prints_as_many_as_the_service_is_set_to(
    serve: Callable[..., Live], tmp_path: Path
) -> None:
    live = serve(top_k=2)
    crop = tmp_path / "crop.png"
    crop.write_bytes(encoded(person(1)))
    with live.client() as client:
        for seed in range(4):
            files = {"images": encoded(person(seed))}
            fields = {
                "identity": f"person-{seed}",
                "camera": f"c{seed}",
                "captured_at": f"2026-03-0{1 + seed}",
            }
            client.post("/gallery", files=files, data=fields).raise_for_status()
    expected = {
        "": 2,
        "--top-k 3": 3,
        "--top-k 4 --exclude-camera c1 --exclude-camera c2": 2,
        "--camera c1": 1,
        "--since 2026-03-04": 1,
        "--until 2026-03-02 --super-resolution off": 1,
        "--prefix person-3": 1,
    }
    for options, count in expected.items():
        done = CliRunner().invoke(app, ["query", str(crop), "--url", live.url, *options.split()])
        assert done.exit_code == 0 and done.stdout.count("person-") == count, (options, done.stdout)
    for options in ("--since yesterday", "--super-resolution 7"):
        done = CliRunner().invoke(app, ["query", str(crop), "--url", live.url, *options.split()])
        assert done.exit_code == 2 and done.stderr.startswith("dgrl: Some fields are wrong (422): "), options


def test_serving_needs_neither_torch_nor_training() -> None:
    code = "import service.cli, service.server, sys; print(sorted({'torch', 'training', 'onnx'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"
