"""The GPU image, as far as an engine without a GPU shows it: complete, and it never falls back to the CPU."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.docker.compose import ROOT

pytestmark = [pytest.mark.docker, pytest.mark.long]  # several GB of CUDA packages

IMAGE = "dgrl:gpu-test"


def docker(*arguments: str, status: int = 0) -> str:
    result = subprocess.run(
        ["docker", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=3600,
    )
    assert result.returncode == status, result.stdout[-4000:]
    return result.stdout


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    docker("build", "--file", "docker/Dockerfile", "--target", "gpu", "--tag", IMAGE, ".")
    yield IMAGE
    docker("rmi", "--no-prune", IMAGE)


def test_its_packages_load(image: str) -> None:
    code = (
        "import faiss, onnxruntime; print(faiss.StandardGpuResources, onnxruntime.get_available_providers())"
    )
    assert "CUDAExecutionProvider" in docker("run", "--rm", image, "python", "-c", code)


def test_cuda_finds_its_libraries_and_lacks_the_driver_alone(image: str) -> None:
    output = docker("run", "--rm", image, status=2)
    assert "libcuda.so.1: cannot open shared object file" in output
    assert "libcublas" not in output and "libcudnn" not in output


def test_without_a_gpu_it_does_not_start(image: str) -> None:
    output = docker("run", "--rm", image, status=2)
    assert "dgrl: cuda was asked for" in output
    assert "Traceback" not in output
