import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.area import area_downsample, overlaps


def slow_area_mean(image: np.ndarray, factor: int) -> np.ndarray:
    """One float64 sum per output pixel, written from the definition."""
    height, width, channels = image.shape
    rows, columns = height // factor, width // factor
    out = np.zeros((rows, columns, channels))
    for i in range(rows):
        top, bottom = i * height / rows, (i + 1) * height / rows
        for j in range(columns):
            left, right = j * width / columns, (j + 1) * width / columns
            for y in range(int(top), min(height, int(np.ceil(bottom)))):
                for x in range(int(left), min(width, int(np.ceil(right)))):
                    tall = min(y + 1, bottom) - max(y, top)
                    wide = min(x + 1, right) - max(x, left)
                    out[i, j] += tall * wide * image[y, x]
            out[i, j] /= (bottom - top) * (right - left)
    return out


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("size", [(24, 12), (25, 11), (17, 29)])
def test_equals_a_slow_float64_loop(size: tuple[int, int], factor: int) -> None:
    images = np.random.default_rng(factor).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    small = area_downsample(images, factor)
    assert small.shape == (2, size[0] // factor, size[1] // factor, 3)
    for image, got in zip(images, small, strict=True):
        assert np.abs(got - slow_area_mean(image, factor)).max() <= 0.5 + 1e-9


def test_hand_computed_fractional_overlap() -> None:
    # 4 pixels into 1 at r=3: the mean of all four. 7 into 2: 3.5 pixels each, the middle one shared.
    four = np.array([0, 10, 20, 60], np.uint8).reshape(1, 1, 4, 1).repeat(3, axis=1)
    assert area_downsample(four, 3).ravel().tolist() == [22]  # 22.5 rounds to even
    seven = np.array([10, 20, 30, 40, 50, 60, 70], np.uint8).reshape(1, 1, 7, 1).repeat(3, axis=1)
    left, right = (10 + 20 + 30 + 20) / 3.5, (20 + 50 + 60 + 70) / 3.5
    assert area_downsample(seven, 3).ravel().tolist() == [round(left), round(right)]


def test_ties_round_as_in_opencv() -> None:
    tie = np.array([[0, 0], [1, 1]], np.uint8).reshape(1, 2, 2, 1)
    assert area_downsample(tie, 2).item() == 1  # 2x2 is OpenCV's special case: half up
    tie = np.tile(np.array([0, 1], np.uint8), 8).reshape(1, 4, 4, 1)
    assert area_downsample(tie, 4).item() == 0  # elsewhere half to even
    assert area_downsample(tie + np.uint8(1), 4).item() == 2


def test_pinned_values_of_opencv() -> None:
    # cv2.resize(image, (21, 42) and so on, interpolation=cv2.INTER_AREA), OpenCV 5.0.0
    y, x, c = np.meshgrid(np.arange(128), np.arange(64), np.arange(3), indexing="ij")
    image = ((y * 37 + x * 101 + c * 59 + (x * y) % 83) % 256).astype(np.uint8)[None]
    assert area_downsample(image, 2)[0, -1, -4:].tolist() == [
        [177, 108, 103],
        [127, 186, 117],
        [141, 136, 195],
        [91, 150, 145],
    ]
    assert area_downsample(image, 3)[0, -1, -4:].tolist() == [
        [105, 115, 145],
        [116, 92, 122],
        [136, 133, 109],
        [106, 161, 164],
    ]
    assert area_downsample(image, 4)[0, -1, -4:].tolist() == [
        [103, 130, 157],
        [106, 117, 128],
        [120, 131, 126],
        [128, 123, 134],
    ]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 255), st.integers(8, 70), st.integers(8, 70), st.sampled_from([2, 3, 4]))
def test_a_flat_image_stays_flat(level: int, height: int, width: int, factor: int) -> None:
    flat = np.full((1, height, width, 3), level, np.uint8)
    assert (area_downsample(flat, factor) == level).all()


def test_a_batch_equals_its_single_images_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 30, 20, 3), dtype=np.uint8)
    singles = np.concatenate([area_downsample(image[None], 3) for image in images])
    monkeypatch.setattr("training.data.area._BATCH_PIXELS", 2 * 30 * 20)
    assert (area_downsample(images, 3) == singles).all()


def test_large_images_stay_exact() -> None:
    image = np.full((1, 600, 301, 1), 255, np.uint8)  # past 2**24 in the integer sums
    image[0, 0, 0] = 0
    assert (area_downsample(image, 3)[0, 1:] == 255).all()


def test_overlaps_share_every_pixel_out_completely() -> None:
    weights = overlaps(128, 42)
    assert (weights.sum(axis=1) == 128).all() and (weights.sum(axis=0) == 42).all()


@pytest.mark.parametrize("factor", [0, -1, 9])
def test_a_factor_that_leaves_no_pixel_is_refused(factor: int) -> None:
    with pytest.raises(ValueError, match="cannot shrink 16x8"):
        area_downsample(np.zeros((1, 16, 8, 3), np.uint8), factor)


def test_only_uint8_batches_are_taken() -> None:
    with pytest.raises(ValueError, match="float64"):
        area_downsample(np.zeros((1, 16, 8, 3)), 2)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="uint8"):
        area_downsample(np.zeros((16, 8, 3), np.uint8), 2)
