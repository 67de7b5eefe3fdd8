"""The real architectures, small enough to export in a test."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from model.config import ModelConfig, RCANConfig, RestormerConfig
from model.embedder import Embedder
from model.rcan import RCAN

TINY_MODEL = ModelConfig(
    identities=8,
    height=64,
    width=32,
    stem_channels=8,
    stage_blocks=(1, 1, 1, 1),
    dimension=16,
    groups=4,
    group_hidden=8,
    restormer_block=RestormerConfig(dim=8, heads=2),
    non_local=False,  # 40% of an export's time; the gate of every real export covers it
)
TINY_RCAN = RCANConfig(scales=(4,), groups=1, blocks=1, features=8, reduction=4, image_skip=True)


def tiny_crops(count: int = 64) -> list[Image.Image]:
    """People-sized pictures of coloured bands, 64x32 pixels (height x width) before noise."""
    rng = np.random.default_rng(0)
    bands = rng.integers(0, 256, (count, 4, 2, 3)).repeat(16, axis=1).repeat(16, axis=2)
    noisy = (bands + rng.normal(0, 12, bands.shape)).clip(0, 255).astype(np.uint8)
    return [Image.fromarray(image) for image in noisy]


def tiny_embedder(crops: Sequence[Image.Image], kind: type[Embedder] = Embedder) -> Embedder:
    """Untrained, but its batch norms have seen the crops: without that all embeddings look alike."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # at this size more only wait for each other
    embedder = kind(TINY_MODEL)
    pixels = torch.from_numpy(np.stack([np.asarray(crop) for crop in crops])).permute(0, 3, 1, 2)
    x = (pixels / 255 - 0.45) / 0.22
    embedder.train()
    with torch.no_grad():
        for _ in range(8):
            embedder(x[:16], "hr")
            embedder(x[16:32], "sr")
    return embedder.eval()


def tiny_rcan() -> RCAN:
    """Untrained: the bilinear enlargement and a little more."""
    torch.manual_seed(0)
    return RCAN(TINY_RCAN).eval()
