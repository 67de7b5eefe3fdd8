"""Caches of decoded images: written once, also by runs that start together."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from model.bundle.preprocessing import Pixels
from training.packed import read_packed, write_packed

SIZE = (4, 2)


def image(value: int) -> Pixels:
    return np.full((*SIZE, 3), value, np.uint8)


def test_two_runs_that_want_the_same_cache_at_once_get_one_whole_file(tmp_path: Path) -> None:
    path, made_twice = tmp_path / "cache.npy", []
    with ThreadPoolExecutor(1) as pool:
        second: list[Future[Pixels]] = []

        def of_the_second() -> Iterator[Pixels]:
            made_twice.append(path)
            yield from (image(number) for number in range(3))

        def of_the_first() -> Iterator[Pixels]:
            yield image(0)
            second.append(pool.submit(write_packed, path, of_the_second(), 3, SIZE))
            yield image(1)
            yield image(2)

        found = write_packed(path, of_the_first(), 3, SIZE)
        assert [int(each[0, 0, 0]) for each in found] == [0, 1, 2]
        assert np.array_equal(second[0].result(), found)
    assert not made_twice


def test_a_cache_that_was_cut_off_is_not_there(tmp_path: Path) -> None:
    def broken() -> Iterator[Pixels]:
        yield image(1)
        raise RuntimeError("cut off")

    with pytest.raises(RuntimeError, match="cut off"):
        write_packed(tmp_path / "cache.npy", broken(), 2, SIZE)
    assert not (tmp_path / "cache.npy").exists()
    write_packed(tmp_path / "cache.npy", iter([image(1), image(2)]), 2, SIZE)
    assert [int(each[0, 0, 0]) for each in read_packed(tmp_path / "cache.npy")] == [1, 2]
