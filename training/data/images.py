"""Decode a dataset's images in threads, and make their low-resolution twins."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from training.data.area import Images, area_downsample
from training.data.records import DatasetError


def read_image(path: Path) -> Images:
    """Decode to RGB uint8 (h, w, 3). Raises DatasetError naming a missing, truncated or foreign file."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except UnidentifiedImageError as error:
        raise DatasetError(f"{path}: not an image") from error
    except (OSError, SyntaxError) as error:  # Pillow raises SyntaxError for some broken PNGs
        raise DatasetError(f"{path}: damaged or unreadable image ({error})") from error


def read_images(root: Path, files: Sequence[str], *, threads: int = 4) -> Iterator[Images]:
    """Yield the images in order; a bounded number is decoded ahead of the consumer."""
    ahead = 32 * threads
    with ThreadPoolExecutor(threads) as pool:
        pending = [pool.submit(read_image, root / file) for file in files[:ahead]]
        for index in range(len(files)):
            image = pending[index % ahead].result()
            if index + ahead < len(files):
                pending[index % ahead] = pool.submit(read_image, root / files[index + ahead])
            yield image


def low_resolution(image: Images, r: int) -> Images:
    """One image (h, w, 3) at 1/r of its size; r=1 leaves it as it is."""
    return image if r == 1 else area_downsample(image[None], r)[0]
