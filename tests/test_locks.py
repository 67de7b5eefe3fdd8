"""The locks of the images: complete, inside the declared ranges, one runtime each, of one mind."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]


def locked(extra: str) -> dict[str, str]:
    lines = (ROOT / "docker" / f"{extra}.lock").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


def declared(extra: str) -> list[Requirement]:
    """`scale` is the CPU image with more."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [
        Requirement(text)
        for text in (
            *project["dependencies"],
            *project["optional-dependencies"][extra],
            *(project["optional-dependencies"]["cpu"] if extra == "scale" else ()),
        )
    ]


@pytest.mark.parametrize("extra", ["cpu", "gpu", "scale"])
def test_every_declared_dependency_is_locked_inside_its_range(extra: str) -> None:
    pins = locked(extra)
    for requirement in declared(extra):
        version = pins.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} is not in docker/{extra}.lock: run `make lock`"
        assert requirement.specifier.contains(version), f"{requirement} excludes {version}: run `make lock`"


@pytest.mark.parametrize("extra", ["cpu", "gpu", "scale"])
def test_every_declared_range_has_an_upper_end(extra: str) -> None:
    for requirement in declared(extra):
        assert any(clause.operator in ("<", "==") for clause in requirement.specifier), str(requirement)


def test_no_image_holds_torch_or_the_other_runtime() -> None:
    cpu, gpu = locked("cpu"), locked("gpu")
    assert not {"torch", "onnxruntime", "onnxruntime-gpu", "faiss-gpu"} & cpu.keys()
    assert not [name for name in cpu if name.startswith("nvidia")]
    assert not {"torch", "onnxruntime", "onnxruntime-openvino", "faiss-cpu"} & gpu.keys()


def test_the_image_for_milvus_is_the_cpu_image_with_more() -> None:
    cpu, scale = locked("cpu"), locked("scale")
    assert {name: scale.get(name) for name in cpu} == cpu
    assert "torch" not in scale


def test_the_images_agree_on_what_they_share() -> None:
    cpu, gpu = locked("cpu"), locked("gpu")
    assert {name: cpu[name] for name in cpu.keys() & gpu.keys()} == {
        n: gpu[n] for n in cpu.keys() & gpu.keys()
    }
