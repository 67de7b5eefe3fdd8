"""Small synthetic sets laid out like the real ones: people of coloured stripes, seen by tinted cameras."""

from pathlib import Path

import numpy as np
from PIL import Image

STRIPES = 5


def draw_person(identity: int, camera: int, shot: int, height: int, width: int) -> Image.Image:
    """The same person looks alike everywhere; camera and shot change tint, shift and noise."""
    clothes = np.random.default_rng(identity).integers(20, 236, (STRIPES, 3))
    scene = np.random.default_rng((identity, camera, shot))
    rows = np.repeat(np.arange(STRIPES), -(-height // STRIPES))[:height]
    picture = np.repeat(clothes[rows][:, None], width, axis=1).astype(float)
    picture[:, : width // 8] = picture[:, -(width // 8) :] = 60 + 30 * camera
    picture += np.array([4.0, 0, -4]) * camera + scene.normal(0, 6, picture.shape)
    return Image.fromarray(picture.clip(0, 255).astype(np.uint8))


def save(path: Path, identity: int, camera: int, shot: int = 0, *, height: int = 64, width: int = 32) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_person(identity, camera, shot, height, width).save(path)


def make_market1501(root: Path, *, train: int = 4, test: int = 8) -> Path:
    """`train` + `test` identities, 3 cameras, with junk, distractors, a double suffix and a Thumbs.db."""
    for identity in range(1, train + 1):
        for camera in (1, 2, 3):
            save(root / f"bounding_box_train/{identity:04d}_c{camera}s1_000001_00.jpg", identity, camera)
    for identity in range(train + 1, train + test + 1):
        for camera in (1, 2, 3):
            if (identity + camera) % 3:
                save(root / f"query/{identity:04d}_c{camera}s1_000001_00.jpg", identity, camera, 1)
            save(root / f"bounding_box_test/{identity:04d}_c{camera}s1_000002_01.jpg", identity, camera, 2)
    save(root / "bounding_box_test/0000_c1s1_000003_02.jpg", 900, 1)
    save(root / "bounding_box_test/-1_c2s1_000004_01.jpg", 901, 2)
    save(root / f"bounding_box_test/{train + 1:04d}_c2s1_000009_01.jpg.jpg", train + 1, 2, 3)
    (root / "query/Thumbs.db").write_bytes(b"made by Windows")
    return root
