"""Small synthetic sets laid out like the real ones: people of coloured stripes, seen by tinted cameras."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from training.data.caviar import SEEN_ONCE

STRIPES = 5
Cells = np.ndarray[Any, np.dtype[Any]]


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


def make_cuhk03_p1(root: Path, *, train: int = 3, test: int = 2, height: int = 64, width: int = 32) -> Path:
    """Both folders count people from 0; images 00 to 04 are by camera A, 05 to 09 by camera B."""
    for folder, first, people in (("train", 0, train), ("val", train, test)):
        for person in range(people):
            for image in (0, 4, 5, 9):
                path = root / f"labeled/{folder}/{person:04d}_{image:02d}.jpg"
                save(path, first + person, 1 + image // 5, image, height=height, width=width)
    return root


def make_viper(root: Path, people: int = 6, *, height: int = 64, width: int = 32) -> Path:
    """One image by each camera, and the Thumbs.db that the official archive holds."""
    for person in range(people):
        save(root / f"cam_a/{person:03d}_45.bmp", person, 1, height=height, width=width)
        save(root / f"cam_b/{person:03d}_90.bmp", person, 2, height=height, width=width)
    (root / "cam_a/Thumbs.db").write_bytes(b"x")
    return root


def make_caviar(root: Path, people: tuple[int, ...] = (1, 2, 3, 4, 6, 7), *, height: int = 24) -> Path:
    """Ten images by the near camera and ten, a third as high, by the far one; fewer people were seen twice."""
    for person in people:
        for image in range(1, 11 if person in SEEN_ONCE else 21):
            far = image > 10
            size = height // 3 if far else height
            save(root / f"{person:04d}_{image:03d}.jpg", person, 1 + far, image, height=size, width=size // 2)
    return root


def make_own(root: Path, *, train: int, test: int, height: int = 64, width: int = 32) -> Path:
    """Sorted into train, probe and gallery, with a table of the same images: `people.csv`."""
    lines = ["path,identity,camera,split"]
    for person in range(train + test):
        name = f"person {person}"
        for camera, side in (("door", "probe"), ("yard", "gallery")):
            split = "train" if person < train else side
            for shot in range(2):
                path = f"{split}/{name}/{camera}/{shot}.png"
                save(root / "images" / path, person, len(camera), shot, height=height, width=width)
                lines.append(f"images/{path},{name},{camera},{split}")
    (root / "people.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def cuhk03_picture(pair: int, person: int, image: int, height: int = 12, width: int = 6) -> Cells:
    """(height, width, 3)"""
    return np.asarray(draw_person(100 * pair + person, 1 + image // 5, image, height, width))


def make_cuhk03(
    root: Path,
    people: tuple[int, ...] = (3, 2),
    testsets: tuple[tuple[tuple[int, int], ...], ...] = (((1, 3), (2, 1)), ((1, 1),)),
    *,
    height: int = 12,
    width: int = 6,
) -> Path:
    """`cuhk-03.mat` with `people` per camera pair and (pair, person) per test set; images 4 and 8 are absent.

    MATLAB stores arrays transposed, and cells as references.
    """
    h5py: Any = import_module("h5py")
    root.mkdir(parents=True, exist_ok=True)
    with h5py.File(root / "cuhk-03.mat", "w") as file:
        hidden = file.create_group("#refs#")

        def store(values: Cells) -> Any:
            return hidden.create_dataset(str(len(hidden)), data=values).ref

        def fill(place: Any, cells: Cells) -> Any:
            for index in np.ndindex(cells.shape):
                place[index] = cells[index]
            return place.ref

        def cell(cells: Cells) -> Any:
            return fill(hidden.create_dataset(str(len(hidden)), cells.shape, dtype=h5py.ref_dtype), cells)

        pairs = np.empty((1, len(people)), object)
        for pair, count in enumerate(people):
            images = np.empty((10, count), object)
            for image, person in np.ndindex(10, count):
                drawn = cuhk03_picture(pair, person, image, height, width)
                images[image, person] = store(np.zeros(2, np.uint64) if image in (4, 8) else drawn.T)
            pairs[0, pair] = cell(images)
        sets = np.empty((1, len(testsets)), object)
        for number, members in enumerate(testsets):
            sets[0, number] = store(np.array(members, float).T)  # (2, people)
        for name, cells in (("labeled", pairs), ("detected", pairs), ("testsets", sets)):
            fill(file.create_dataset(name, cells.shape, dtype=h5py.ref_dtype), cells)
    return root
