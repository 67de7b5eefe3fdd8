from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.bundle.preprocessing import resize
from model.bundle.runtime import Bundle, Runtime
from model.bundle.session import Provider
from tests.training.lookalike import make_market1501
from training.data.area import area_downsample
from training.data.images import read_image
from training.data.manifest import Manifest, build_manifest
from training.data.market1501 import load_market1501
from training.data.records import DatasetError
from training.evaluation.embed import Advance, embed
from training.evaluation.encoders import HIGH_RESOLUTION, BundleEncoder, Flipped
from training.evaluation.evaluate import Variant, evaluate
from training.evaluation.scorers import Market1501, SingleShot


@contextmanager
def silent(what: str, total: int) -> Iterator[Advance]:
    yield lambda done: None


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_market1501(tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="module")
def manifest(root: Path) -> Manifest:
    return build_manifest(load_market1501(root, strict_counts=False), "all", seed=0)


@pytest.fixture(scope="module")
def encoder(tiny_bundle: Path) -> BundleEncoder:
    return BundleEncoder(Runtime(Bundle.load(tiny_bundle), Provider.CPU, threads=1))


def test_every_variant_is_scored_overall_and_per_r(
    root: Path, manifest: Manifest, encoder: BundleEncoder
) -> None:
    runs = evaluate(manifest, root, encoder, list(Variant), [Market1501(), SingleShot(5, 1)], silent)
    assert [run.label for run in runs] == [
        "bundle",
        "bundle, bilinear instead of RCAN",
        "bundle, sharp probes",
    ]
    for run in runs:
        assert [ranked.scorer for ranked in run.ranked] == ["market1501", "single_shot(repeats=5, seed=1)"]
        for ranked in run.ranked:
            assert [row.result.subset for row in ranked.rows] == ["all", "r=2", "r=3", "r=4"]
            whole, *parts = (row.result for row in ranked.rows)
            assert whole.protocol == "MLR-Market-1501 all" and whole.probes == 16
            assert sum(part.probes for part in parts) == whole.probes
            weighted = sum(part.probes * part.rank1 for part in parts) / whole.probes
            assert weighted == pytest.approx(whole.rank1)
        assert run.ranked[0].rows[0].result.rank1 > 70
        assert run.ranked[0].rows[0].deviation is None and run.ranked[1].rows[0].deviation is not None
    junk = [entry for entry in manifest.of("gallery") if entry.identity == -1]
    assert len(junk) == 1 and len(runs[0].gallery.heights) == len(manifest.of("gallery")) - 1


def test_a_probe_takes_the_service_s_way(root: Path, manifest: Manifest, encoder: BundleEncoder) -> None:
    [run] = evaluate(manifest, root, encoder, [Variant.SUPER_RESOLVED], [Market1501()], silent)
    for position, entry in enumerate(manifest.of("probe")):
        low = area_downsample(read_image(root / entry.file)[None], entry.r)
        large = encoder.super_resolve(low, entry.r)  # 64x32 at 1/2, 1/3 and 1/4 are the buckets
        crop = resize(Image.fromarray(large[0]), *encoder.size)
        np.testing.assert_allclose(
            run.probes.vectors[position], encoder.embed(crop[None], "sr")[0], atol=1e-6
        )
        assert run.probes.heights[position] == 64 // entry.r


def test_gallery_images_take_the_hr_stem_as_they_are(
    root: Path, manifest: Manifest, encoder: BundleEncoder
) -> None:
    entries = manifest.of("gallery")
    done: list[int] = []
    ground = embed(root, entries, encoder, lambda h: HIGH_RESOLUTION, threads=3, advance=done.append)
    assert sum(done) == len(entries)
    crops = np.stack([resize(Image.open(root / entry.file), *encoder.size) for entry in entries])
    np.testing.assert_allclose(ground.vectors, encoder.embed(crops, "hr"), atol=1e-6)
    assert ground.labels.identities.tolist() == [entry.identity for entry in entries]


def test_flip_makes_mirror_images_equal(encoder: BundleEncoder) -> None:
    flipped = Flipped(encoder)
    crops = np.random.default_rng(0).integers(0, 256, (3, *encoder.size, 3), dtype=np.uint8)
    vectors = flipped.embed(crops, "hr")
    np.testing.assert_allclose(vectors, flipped.embed(crops[:, :, ::-1], "hr"), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert flipped.name == "bundle with flip"


def test_a_damaged_image_is_named(tmp_path: Path, encoder: BundleEncoder) -> None:
    root = make_market1501(tmp_path / "market")
    broken = root / "query/0005_c2s1_000001_00.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    manifest = build_manifest(load_market1501(root, strict_counts=False), "all", seed=0)
    with pytest.raises(DatasetError, match=r"0005_c2s1_000001_00\.jpg: .*damaged"):
        evaluate(manifest, root, encoder, [Variant.BILINEAR], [Market1501()], silent)


def test_a_manifest_without_probes_is_refused(root: Path, manifest: Manifest, encoder: BundleEncoder) -> None:
    bare = Manifest("Toy", "all", 0, manifest.of("gallery"))
    with pytest.raises(DatasetError, match="MLR-Toy all: the manifest has no probes"):
        evaluate(bare, root, encoder, [Variant.BILINEAR], [Market1501()], silent)
