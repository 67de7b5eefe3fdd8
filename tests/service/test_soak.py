"""Memory stays where it is: many requests of every size and kind, good and bad."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.pictures import encoded, low_resolution, person
from tests.support.process import started

CLIENTS = 4


def resident(client: httpx.Client) -> float:
    text = client.get("/metrics").text
    line = next(line for line in text.splitlines() if line.startswith("process_resident_memory_bytes"))
    return float(line.split()[1]) / 1e6


def load(url: str, requests: int, seed: int) -> None:
    source = random.Random(seed)
    crops = [encoded(low_resolution(person(n, 64 + n), 1 + n % 3)) for n in range(24)] + [b"", b"no picture"]
    with httpx.Client(base_url=url, timeout=60) as client:
        for _ in range(requests):
            chosen = source.choices(crops, k=source.choice((1, 1, 1, 3, 7)))
            client.post(source.choice(("/query", "/embed")), files=[("images", crop) for crop in chosen])


@pytest.mark.long
def test_50_000_requests_leave_no_trace(tiny_bundle: Path, tmp_path: Path) -> None:
    with started(tiny_bundle, tmp_path) as process, httpx.Client(base_url=process.url, timeout=60) as client:
        for number in range(24):
            client.post(
                "/gallery", files={"images": encoded(person(number))}, data={"identity": f"p{number}"}
            )
        sizes = []
        with ThreadPoolExecutor(CLIENTS) as pool:
            for step in range(10):
                list(
                    pool.map(
                        load, [process.url] * CLIENTS, [1250] * CLIENTS, range(step * 9, step * 9 + CLIENTS)
                    )
                )
                sizes.append(resident(client))
    growth = (sizes[-1] - sizes[1]) / 40  # MB per 1,000 requests, after the first 10,000
    print(
        f"resident MB after each 5,000 requests: {[round(size) for size in sizes]}, {growth:+.3f} MB per 1,000"
    )
    assert growth < 1
