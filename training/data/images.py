"""Decode a dataset's images in threads, and make their low-resolution twins."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from model.bundle.preprocessing import ImageError, ImageLimits, decode
from training.data.area import Images, area_downsample
from training.data.records import DatasetError

_ANY_SIZE = ImageLimits(min_height=1, min_width=1)
_AHEAD = 32  # items in work or waiting per thread
T = TypeVar("T")
R = TypeVar("R")


def read_image(path: Path) -> Images:
    """Decode to RGB uint8 (h, w, 3) as the service does. Raises DatasetError naming the file."""
    try:
        return np.asarray(decode(path.read_bytes(), _ANY_SIZE))
    except ImageError as error:
        raise DatasetError(f"{path}: {error}") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from error


def read_images(root: Path, files: Sequence[str], *, threads: int = 4) -> Iterator[Images]:
    """Yield the images in order; a bounded number is decoded ahead of the consumer."""
    return map_ahead(lambda file: read_image(root / file), files, threads=threads)


def map_ahead(function: Callable[[T], R], items: Sequence[T], *, threads: int) -> Iterator[R]:
    """The results in order, worked out in threads no more than a bounded number ahead of the consumer."""
    ahead = _AHEAD * threads
    with ThreadPoolExecutor(threads) as pool:
        pending = [pool.submit(function, item) for item in items[:ahead]]
        try:
            for index in range(len(items)):
                result = pending[index % ahead].result()
                if index + ahead < len(items):
                    pending[index % ahead] = pool.submit(function, items[index + ahead])
                yield result
        finally:
            for future in pending:  # the consumer left early, or an item failed
                future.cancel()


def low_resolution(image: Images, r: int) -> Images:
    """One image (h, w, 3) at 1/r of its size; r=1 leaves it as it is."""
    return image if r == 1 else area_downsample(image[None], r)[0]
