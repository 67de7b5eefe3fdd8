from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data.images import low_resolution, read_image, read_images
from training.data.records import DatasetError


def test_images_come_in_order_however_many_are_read_ahead(tmp_path: Path) -> None:
    files = [f"{n:03d}.png" for n in range(150)]
    for n, file in enumerate(files):
        Image.new("RGB", (4, 5), (n, 0, 0)).save(tmp_path / file)
    images = list(read_images(tmp_path, files, threads=2))
    assert [int(image[0, 0, 0]) for image in images] == list(range(150))
    assert images[0].shape == (5, 4, 3)
    assert list(read_images(tmp_path, [])) == []


def test_broken_files_are_named(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    (tmp_path / "text.jpg").write_text("not an image")
    for name, message in [("cut", "damaged"), ("text", "not a JPEG"), ("none", "cannot be read")]:
        with pytest.raises(DatasetError, match=rf"{name}\.jpg: .*{message}"):
            read_image(tmp_path / f"{name}.jpg")
    with pytest.raises(DatasetError, match=r"cut\.jpg"):
        list(read_images(tmp_path, ["whole.jpg", "cut.jpg"]))


def test_low_resolution_keeps_a_native_image() -> None:
    image = np.zeros((9, 7, 3), np.uint8)
    assert low_resolution(image, 1) is image
    assert low_resolution(image, 3).shape == (3, 2, 3)
