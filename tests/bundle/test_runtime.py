"""The runtime on the tiny bundle: shapes, batches, threads, providers, and what is refused."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model.bundle.manifest import MANIFEST_NAME
from model.bundle.routing import Branch
from model.bundle.runtime import MAX_BATCH, Bundle, BundleError, Runtime
from model.bundle.session import Precision, Provider, ProviderNotGranted, offered_providers

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def runtime(tiny_bundle: Path) -> Runtime:
    return Runtime(Bundle.load(tiny_bundle), Provider.CPU, threads=1)


@pytest.fixture
def copy(tiny_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_bundle, tmp_path / "copy")


def crops(n: int, height: int = 64, width: int = 32, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def test_rows_are_unit_vectors(runtime: Runtime) -> None:
    vectors = runtime.embed(crops(5), "hr")
    assert vectors.shape == (5, 16)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("branch", ["hr", "sr"])
def test_a_batch_equals_its_singles(runtime: Runtime, branch: Branch) -> None:
    images = crops(2 * MAX_BATCH + 3)
    singles = np.concatenate([runtime.embed(image[None], branch) for image in images])
    np.testing.assert_allclose(runtime.embed(images, branch), singles, atol=1e-5)


def test_the_branches_are_different_encoders(runtime: Runtime) -> None:
    assert not np.allclose(runtime.embed(crops(1), "hr"), runtime.embed(crops(1), "sr"), atol=1e-4)


def test_swapped_channels_lower_the_similarity(runtime: Runtime) -> None:
    images = crops(8) // [1, 2, 4]
    vectors = runtime.embed(images.astype(np.uint8), "hr")
    swapped = runtime.embed(images[..., ::-1].astype(np.uint8), "hr")
    assert (np.sum(vectors * swapped, axis=1) < 0.99).all()


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_super_resolution_enlarges_by_its_scale(runtime: Runtime, scale: int) -> None:
    native = next(s for s in runtime.manifest.super_resolution if s.scale == scale)
    images = crops(3, native.height, native.width)
    large = runtime.super_resolve(images, scale)
    assert large.shape == (3, native.height * scale, native.width * scale, 3)
    assert large.dtype == np.uint8
    np.testing.assert_array_equal(large[1:2], runtime.super_resolve(images[1:2], scale))


def test_an_empty_batch_gives_empty_results(runtime: Runtime) -> None:
    assert runtime.embed(crops(0), "sr").shape == (0, 16)
    assert runtime.super_resolve(crops(0, 16, 8), 4).shape == (0, 64, 32, 3)


@pytest.mark.parametrize(
    "images", [crops(1, 64, 64), crops(1)[0], crops(1).astype(np.float32)], ids=["size", "no batch", "dtype"]
)
def test_a_wrong_batch_is_refused_with_what_was_expected(runtime: Runtime, images: Pixels) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \(N, 64, 32, 3\)"):
        runtime.embed(images, "hr")


def test_an_unknown_scale_lists_the_known_ones(runtime: Runtime) -> None:
    with pytest.raises(ValueError, match=r"\[2, 3, 4\]"):
        runtime.super_resolve(crops(1, 16, 8), 5)


@pytest.mark.parametrize(
    "provider", [p for p in offered_providers() if p in (Provider.CPU, Provider.OPENVINO)]
)
def test_threads_get_their_own_results(tiny_bundle: Path, provider: Provider) -> None:
    runtime = Runtime(Bundle.load(tiny_bundle), provider, precision=Precision.FLOAT32)
    batches = [crops(1 + i % 9, seed=i) for i in range(64)]
    expected = [runtime.embed(batch, "sr") for batch in batches]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda batch: runtime.embed(batch, "sr"), batches))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.skipif(Provider.OPENVINO not in offered_providers(), reason="this build has no OpenVINO")
def test_openvino_agrees_with_the_plain_cpu(tiny_bundle: Path, runtime: Runtime) -> None:
    images = crops(7)
    exact = Runtime(Bundle.load(tiny_bundle), Provider.OPENVINO, precision=Precision.FLOAT32)
    assert (exact.granted, exact.precision) == ("openvino", "float32")
    np.testing.assert_allclose(exact.embed(images, "hr"), runtime.embed(images, "hr"), atol=1e-5)
    fast = Runtime(Bundle.load(tiny_bundle))
    np.testing.assert_allclose(fast.embed(images, "hr"), runtime.embed(images, "hr"), atol=0.02)
    np.testing.assert_allclose(np.linalg.norm(fast.embed(images, "hr"), axis=1), 1, atol=1e-5)


def test_what_was_granted_is_stated(runtime: Runtime) -> None:
    assert (runtime.granted, runtime.precision) == ("cpu", "float32")


@pytest.mark.skipif(Provider.CUDA in offered_providers(), reason="this build has CUDA")
def test_a_provider_that_is_not_granted_is_an_error(tiny_bundle: Path) -> None:
    with pytest.raises(ProviderNotGranted, match=r"cuda was asked for, .* offers only .*cpu"):
        Runtime(Bundle.load(tiny_bundle), Provider.CUDA)


def test_a_precision_that_is_not_granted_is_an_error(tiny_bundle: Path) -> None:
    with pytest.raises(ProviderNotGranted, match="bfloat16"):
        Runtime(Bundle.load(tiny_bundle), Provider.CPU, precision=Precision.BFLOAT16)


def test_a_graph_that_is_damaged_is_named(copy: Path) -> None:
    bundle = Bundle.load(copy)
    (copy / "hr.onnx").write_bytes(b"not a graph")
    with pytest.raises(ProviderNotGranted, match=r"cpu cannot run hr\.onnx"):
        Runtime(bundle, Provider.CPU)


def test_a_changed_file_is_named(copy: Path) -> None:
    weights = copy / "weights/shared.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BundleError, match=r"weights/shared\.bin .* sha256"):
        Bundle.load(copy)


def test_a_missing_file_is_named(copy: Path) -> None:
    (copy / "rcan_x3.onnx").unlink()
    with pytest.raises(BundleError, match=r"lacks rcan_x3\.onnx"):
        Bundle.load(copy)


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=MANIFEST_NAME):
        Bundle.load(tmp_path)


@pytest.mark.parametrize("foreign", ["../hr.onnx", "/etc/passwd", "weights\\shared.bin"])
def test_a_path_outside_the_bundle_is_refused(copy: Path, foreign: str) -> None:
    manifest = json.loads((copy / MANIFEST_NAME).read_text())
    manifest["files"][foreign] = "0" * 64
    (copy / MANIFEST_NAME).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="not a relative path inside the bundle"):
        Bundle.load(copy)


def test_a_manifest_of_other_files_is_refused(copy: Path) -> None:
    manifest = json.loads((copy / MANIFEST_NAME).read_text())
    manifest["bundle_id"] = "0" * 16
    (copy / MANIFEST_NAME).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="bundle_id"):
        Bundle.load(copy)
