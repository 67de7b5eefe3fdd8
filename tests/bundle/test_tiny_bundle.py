"""The tiny bundle does what the tests of every room rely on."""

import filecmp
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from model.bundle.preprocessing import resize
from model.bundle.routing import route
from model.bundle.runtime import Bundle, Runtime
from model.bundle.session import Provider
from tests.support.tiny_bundle import make_tiny_bundle


def person(seed: int) -> Image.Image:
    """A figure of 128x64 pixels in clothes of its own colours before a noisy background."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(90, 150, (128, 64, 3), dtype=np.uint8))
    draw = ImageDraw.Draw(image)
    hair, coat, trousers = (tuple(int(c) for c in rng.integers(0, 256, 3)) for _ in range(3))
    draw.ellipse((22, 4, 42, 26), fill=hair)
    draw.rectangle((14, 26, 50, 72), fill=coat)
    draw.rectangle((18, 72, 46, 124), fill=trousers)
    return image


@pytest.mark.parametrize("height", [16, 21, 32, 40])
def test_a_low_resolution_crop_finds_its_own_picture(tiny_bundle: Path, height: int) -> None:
    runtime = Runtime(Bundle.load(tiny_bundle), Provider.CPU)
    people = [person(seed) for seed in range(8)]
    size = (runtime.manifest.preprocessing.height, runtime.manifest.preprocessing.width)
    gallery = runtime.embed(np.stack([resize(p, *size) for p in people]), "hr")
    way = route(height, runtime.manifest)
    assert way.scale is not None and way.bucket is not None
    probes = np.stack([resize(p.resize((height // 2, height)), *way.bucket) for p in people])
    enlarged = [Image.fromarray(i) for i in runtime.super_resolve(probes, way.scale)]
    vectors = runtime.embed(np.stack([resize(i, *size) for i in enlarged]), way.branch)
    np.testing.assert_array_equal((vectors @ gallery.T).argmax(axis=1), np.arange(8))


def test_it_is_the_same_every_time(tiny_bundle: Path, tmp_path: Path) -> None:
    again = make_tiny_bundle(tmp_path)
    names = [*Bundle.load(tiny_bundle).manifest.files, "manifest.json"]
    assert filecmp.cmpfiles(tiny_bundle, again, names, shallow=False) == (names, [], [])
