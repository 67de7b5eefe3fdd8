"""Checkpoints and the ImageNet baseline behind the interface that a bundle has."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from model.config import ModelConfig, RCANConfig, RestormerConfig
from model.embedder import Embedder
from model.rcan import RCAN
from training.evaluation.encoders import LOW_RESOLUTION
from training.evaluation.torch_encoders import CheckpointEncoder, ImageNetEncoder, ResNet50

TINY = ModelConfig(
    identities=4,
    height=64,
    width=32,
    stem_channels=8,
    stage_blocks=(1, 1, 1, 1),
    dimension=16,
    groups=2,
    group_hidden=8,
    restormer_block=RestormerConfig(dim=8, heads=2),
)
LIGHT = RCANConfig(scales=(2, 3, 4), groups=1, blocks=1, features=8, reduction=4)


@pytest.fixture(scope="module")
def encoder() -> CheckpointEncoder:
    torch.manual_seed(0)
    rcan = RCAN(LIGHT)
    return CheckpointEncoder(Embedder(TINY), {scale: rcan for scale in (2, 3, 4)})


def test_a_checkpoint_routes_probes_as_its_bundle_will(encoder: CheckpointEncoder) -> None:
    assert [encoder.route(height, "auto").scale for height in (32, 42, 64, 128)] == [4, 3, 2, None]
    assert encoder.route(42, "auto").bucket == (42, 21)
    assert encoder.route(128, "auto").branch == "hr"
    assert encoder.route(32, "off") == LOW_RESOLUTION


def test_a_checkpoint_super_resolves_and_embeds(encoder: CheckpointEncoder) -> None:
    generator = np.random.default_rng(0)
    low = generator.integers(0, 256, (3, 42, 21, 3), dtype=np.uint8)
    large = encoder.super_resolve(low, 3)
    assert large.shape == (3, 126, 63, 3) and large.dtype == np.uint8
    crops = generator.integers(0, 256, (3, 64, 32, 3), dtype=np.uint8)
    hr, sr = encoder.embed(crops, "hr"), encoder.embed(crops, "sr")
    assert hr.shape == (3, 16) and hr.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(hr, axis=1), 1, atol=1e-5)
    assert np.abs(hr - sr).max() > 1e-3  # two stems
    np.testing.assert_allclose(encoder.embed(crops[1:2], "hr"), hr[1:2], atol=1e-5)


@pytest.mark.parametrize("first", [True, False])
def test_the_baseline_reads_where_a_file_puts_the_stride(tmp_path: Path, first: bool) -> None:
    weights = tmp_path / "imagenet.safetensors"
    torch.manual_seed(0)
    network = ResNet50(stride_in_first_convolution=first).eval()
    state = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    save_file(state, weights, metadata={"layout": "stride in conv1 (v1)"} if first else {})
    encoder = ImageNetEncoder(weights)
    crops = np.random.default_rng(0).integers(0, 256, (2, 256, 128, 3), dtype=np.uint8)
    vectors = encoder.embed(crops, "sr")
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(network((pixels - mean) / std), dim=1).numpy()
    np.testing.assert_allclose(vectors, expected, atol=1e-4)
    assert vectors.shape == (2, 2048)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    coarse = ImageNetEncoder(weights, precision="bfloat16").embed(crops, "sr")
    assert coarse.dtype == np.float32 and (coarse * vectors).sum(axis=1).min() > 0.99
    assert encoder.route(32, "auto") == LOW_RESOLUTION
    with pytest.raises(ValueError, match="no super-resolution"):
        encoder.super_resolve(crops, 2)


def test_a_foreign_weights_file_is_refused(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"w\.safetensors: not a ResNet-50"):
        ImageNetEncoder(tmp_path / "w.safetensors")
