"""What the preprocessing spec says, computed by hand and pinned: a change of pixels anywhere shows here."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.bundle.preprocessing import ImageLimits, decode, resize
from model.bundle.runtime import Bundle, Runtime
from model.bundle.session import Precision, Provider, offered_providers
from tests.support.tiny_bundle import WEIGHTS

PINNED = [-0.30258, -0.54457, -0.27111, -0.48194]


def upload() -> bytes:
    """A PNG of 96x40 pixels (height x width), larger than the encoder's input and of another shape."""
    y, x = np.mgrid[0:96, 0:40]
    buffer = io.BytesIO()
    Image.fromarray(np.stack([y * 2, x * 6, (x * y) % 251], axis=-1).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "provider", [p for p in offered_providers() if p in (Provider.CPU, Provider.OPENVINO)]
)
def test_an_upload_becomes_the_vector_that_the_spec_says(tiny_bundle: Path, provider: Provider) -> None:
    runtime = Runtime(Bundle.load(tiny_bundle), provider, precision=Precision.FLOAT32)
    spec = runtime.manifest.preprocessing
    pixels = resize(decode(upload(), ImageLimits()), spec.height, spec.width)
    vector = runtime.embed(pixels[None], "hr")[0]
    normalised = (pixels.astype(np.float64) / 255 - spec.mean) / spec.std  # RGB, (64, 32, 3)
    stripes = np.stack([normalised[13 * i : 13 * i + 12, 8:24].mean(axis=(0, 1)) for i in range(5)])
    projection = np.fromfile(tiny_bundle / WEIGHTS, "<f4").reshape(15, 16)
    expected = stripes.T.reshape(15) @ projection  # colour by colour, each from top to bottom
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)
    np.testing.assert_allclose(vector[:4], PINNED, atol=1e-4)
