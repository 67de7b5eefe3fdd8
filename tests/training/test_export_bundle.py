"""The real architectures exported at tiny size: what passes becomes a bundle, what fails leaves nothing."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import Tensor

from model.bundle.manifest import MANIFEST_NAME, EvaluationResult, Manifest, TrainingRecord
from model.bundle.runtime import Bundle, Runtime
from model.bundle.session import Provider
from model.embedder import Branch, Embedder
from model.rcan import RCAN
from model.stem import Stem
from tests.support.tiny_networks import TINY_MODEL, TINY_RCAN, tiny_crops, tiny_embedder, tiny_rcan
from tests.training.lookalike import make_market1501
from tests.training.test_evaluation_evaluate import silent
from training.data.manifest import build_manifest
from training.data.market1501 import load_market1501
from training.evaluation.encoders import BundleEncoder
from training.evaluation.evaluate import Variant, evaluate
from training.evaluation.torch_encoders import CheckpointEncoder
from training.export.bundle import export_bundle
from training.export.config import ExportConfig, Networks
from training.export.gate import GateFailed
from training.export.manifest_file import update_manifest
from training.export.pictures import Bucket, as_input, as_low_resolution

RECORD = TrainingRecord(data="noise", terms="any", recipe="none", started_from="nothing", device="cpu")
CONFIG = ExportConfig(
    name="tiny", precision="float16", hr_reference=(64, 32), file_limit=16 * 1024
)  # smaller than some weights


@pytest.fixture(scope="module")
def crops() -> list[Image.Image]:
    return tiny_crops()


@pytest.fixture(scope="module")
def networks(crops: list[Image.Image]) -> Networks:
    return Networks(tiny_embedder(crops), (tiny_rcan(),))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, networks: Networks, crops: list[Image.Image]) -> Path:
    out = tmp_path_factory.mktemp("export") / "tiny"
    export_bundle(networks, crops, out, RECORD, CONFIG, rank1=lambda runtime: 50.0)
    return out


@pytest.fixture(scope="module")
def manifest(exported: Path) -> Manifest:
    return Bundle.load(exported).manifest


def test_the_bundle_equals_the_networks(exported: Path, networks: Networks, crops: list[Image.Image]) -> None:
    runtime = Runtime(Bundle.load(exported), Provider.CPU)
    pixels = as_input(crops[:5], 64, 32)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255
    x = (x - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    for branch in ("hr", "sr"):
        with torch.no_grad():
            eager = networks.embedder(x, branch).numpy()
        assert (np.sum(runtime.embed(pixels, branch) * eager, axis=1) > 0.999).all()
    low = as_low_resolution(crops[:5], Bucket(4, 16, 8))
    with torch.no_grad():
        large = networks.resolvers[0](torch.from_numpy(low).permute(0, 3, 1, 2).float(), 4)
    expected = large.clamp(0, 255).round().permute(0, 2, 3, 1).numpy()
    assert np.abs(runtime.super_resolve(low, 4) - expected).max() <= 1


def test_every_image_gets_the_checkpoint_s_vector(exported: Path, networks: Networks, tmp_path: Path) -> None:
    """What evaluation makes of bundle and checkpoint: the same ways, and vectors apart by stored rounding only."""
    root = make_market1501(tmp_path, test=2)
    manifest = build_manifest(load_market1501(root, strict_counts=False), "all", 0)
    [rcan] = networks.resolvers
    bundle = BundleEncoder(Runtime(Bundle.load(exported), Provider.CPU))
    checkpoint = CheckpointEncoder(networks.embedder, {4: rcan}, hr_reference=(64, 32))
    assert [bundle.route(h, "auto") for h in range(1, 99)] == [
        checkpoint.route(h, "auto") for h in range(1, 99)
    ]
    sides = [
        [
            (run.probes.vectors, run.gallery.vectors)
            for run in evaluate(manifest, root, e, list(Variant), [], silent)
        ]
        for e in (bundle, checkpoint)
    ]
    for ours, theirs in zip(*sides, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert (a * b).sum(axis=1).min() > 0.999


def test_the_gates_figures_are_in_the_manifest(manifest: Manifest) -> None:
    parity = manifest.parity
    assert parity is not None
    assert (parity.crops, parity.batches) == (64, (1, 2, 7, 32))
    assert parity.max_abs_difference <= 1e-4
    assert parity.min_cosine > parity.min_cosine_stored >= 0.999
    assert parity.swapped_cosine is not None and parity.swapped_cosine < 0.999
    assert parity.rank1_float32 == 50.0


def test_weights_are_stored_once(exported: Path, manifest: Manifest, networks: Networks) -> None:
    parameters = sum(p.numel() for p in networks.embedder.parameters())
    bytes_stored = sum(f.stat().st_size for f in (exported / "weights").iterdir())
    assert parameters * 1.5 < bytes_stored < parameters * 2.2  # float16; small ones lie in the graphs


def test_no_file_exceeds_its_limit(exported: Path) -> None:
    assert max(f.stat().st_size for f in (exported / "weights").iterdir()) <= CONFIG.file_limit


def test_graphs_tell_their_preprocessing_and_nothing_of_this_machine(
    exported: Path, manifest: Manifest
) -> None:
    model = onnx.load(exported / manifest.encoders.sr, load_external_data=False)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["dgrl.branch"] == "sr"
    assert (
        manifest.preprocessing.model_validate_json(metadata["dgrl.preprocessing"]) == manifest.preprocessing
    )
    assert b".py" not in model.SerializeToString()


def test_nothing_but_the_bundle_is_left(exported: Path, manifest: Manifest) -> None:
    assert [path.name for path in exported.parent.iterdir()] == ["tiny"]
    found = {f.relative_to(exported).as_posix() for f in exported.rglob("*") if f.is_file()}
    assert found == {*manifest.files, MANIFEST_NAME}


def test_an_existing_bundle_is_not_overwritten(
    exported: Path, networks: Networks, crops: list[Image.Image]
) -> None:
    with pytest.raises(FileExistsError, match="exists already"):
        export_bundle(networks, crops, exported, RECORD, CONFIG)


def test_results_are_added_without_a_new_id(exported: Path, manifest: Manifest) -> None:
    result = EvaluationResult(
        protocol="p",
        scorer="s",
        variant="bundle",
        subset="all",
        probes=1,
        rank1=1,
        rank5=1,
        rank10=1,
        map=1,
        minp=1,
    )
    updated = update_manifest(exported, evaluation=[result])
    assert updated.bundle_id == manifest.bundle_id
    assert updated.parity == manifest.parity
    assert Bundle.load(exported).manifest.evaluation == (result,)


class SwapsWhenExported(RCAN):
    """What a wrong colour order in the exporter would do."""

    def forward(self, x: Tensor, scale: int) -> Tensor:
        return super().forward(x.flip(1) if torch.compiler.is_exporting() else x, scale)


class DoublesWhenExported(Embedder):
    """A quick embedder, whose exporter scales the pixels twice."""

    def stem(self, branch: Branch) -> Stem:
        return DoublingStem(TINY_MODEL)

    def describe(self, maps: Tensor) -> Tensor:
        return torch.nn.functional.normalize(maps.clamp(max=1).mean(dim=(2, 3)), dim=-1)


class DoublingStem(Stem):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if torch.compiler.is_exporting() else x


def test_a_sabotaged_export_fails_the_gate_and_leaves_nothing(
    tmp_path: Path, crops: list[Image.Image]
) -> None:
    networks = Networks(DoublesWhenExported(TINY_MODEL), (SwapsWhenExported(TINY_RCAN).eval(),))
    with pytest.raises(GateFailed) as failure:
        export_bundle(networks, crops, tmp_path / "bad", RECORD, CONFIG)
    for expected in (
        "rcan_x4.onnx (float32 weights)",
        "hr.onnx (float32 weights)",
        "sr.onnx (float16 weights)",
    ):
        assert expected in str(failure.value)
    assert list(tmp_path.iterdir()) == []


def test_a_scale_given_twice_is_refused(networks: Networks) -> None:
    with pytest.raises(ValueError, match=r"given twice: \[4, 4\]"):
        Networks(networks.embedder, (tiny_rcan(), tiny_rcan())).by_scale()
