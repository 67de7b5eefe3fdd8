"""Memory stays where it is: many requests of every size and kind, good and bad."""

from pathlib import Path

import pytest

from tests.load.soak import load, slope, soak
from tests.support.live import Live


def test_the_load_is_good_and_bad(live: Live) -> None:
    statuses = load(live.url, 200, seed=1)
    assert sum(statuses.values()) == 200
    assert {200, 201, 404, 422} <= set(statuses)
    assert not [status for status in statuses if status >= 500]


def test_the_slope_is_that_after_the_warm_up() -> None:
    assert slope([0, 50, *(100 + 2 * step for step in range(8))]) == pytest.approx(2)


@pytest.mark.long
def test_50_000_requests_leave_no_trace(tiny_bundle: Path, tmp_path: Path) -> None:
    sizes = [size for _, size, _ in soak(tiny_bundle, tmp_path, 50_000)]
    print(
        f"resident MB after each 1,000 requests: {[round(size) for size in sizes]}, {slope(sizes):+.3f} per 1,000"
    )
    assert slope(sizes) < 1
