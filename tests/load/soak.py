"""Does memory stay where it is? `python -m tests.load.soak --requests 50000 [--bundle FOLDER]`

A service of its own answers requests of every kind, size and fault from four clients; the gallery stays small.
Printed per 1,000 requests: the resident memory, and at the end its slope after the warm-up, by least squares.
"""

import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import httpx
import numpy as np
import typer

from tests.support.pictures import encoded, low_resolution, person
from tests.support.process import started
from tests.support.tiny_bundle import make_tiny_bundle

CLIENTS, PEOPLE, EVERY = 4, 24, 1000
WARM_UP = 0.2  # of the requests: pools, caches and the allocator's arenas grow to their size
Bodies = list[tuple[str, tuple[str, bytes]]]


def crops() -> list[bytes]:
    """People of 16 to 134 pixels in height, in two formats, and files that are no crops."""
    heights = [16, 20, 24, 31, 32, 42, 48, 64, 80, 96, 112, 134]
    people = [low_resolution(person(n, 2 * height), 2) for n, height in enumerate(heights)]
    small = encoded(low_resolution(person(0), 8))  # refused
    return [
        *(encoded(one) for one in people),
        *(encoded(one, "JPEG") for one in people),
        small,
        b"",
        b"no picture",
    ]


class Caller:
    def __init__(self, client: httpx.Client, number: int, seed: int) -> None:
        self.client, self.own = client, f"own {number}"
        self.draw, self.crops = random.Random(f"{seed} {number}"), crops()

    def call(self) -> httpx.Response:
        kind = self.draw.choice(
            ["query"] * 6
            + ["embed"] * 3
            + ["verify"] * 2
            + ["enrol"] * 2
            + ["delete", "list", "images", "look"]
        )
        answer: httpx.Response = getattr(self, kind)()
        return answer

    def files(self, *counts: int) -> Bodies:
        return [
            ("images", ("crop", crop)) for crop in self.draw.choices(self.crops, k=self.draw.choice(counts))
        ]

    def query(self) -> httpx.Response:
        fields = self.draw.choice(
            [{}, {"rerank": "true"}, {"return_super_resolved": "true"}, {"prefix": "p1"}]
        )
        return self.client.post("/query", files=self.files(1, 1, 1, 3, 7), data=fields)

    def embed(self) -> httpx.Response:
        return self.client.post("/embed", files=self.files(1, 1, 3, 7))

    def verify(self) -> httpx.Response:
        return self.client.post("/verify", files=self.files(2, 2, 1))

    def enrol(self) -> httpx.Response:
        pictures = [
            ("images", encoded(person(self.draw.randrange(10**9)))) for _ in range(self.draw.choice((1, 3)))
        ]
        return self.client.post("/gallery", files=pictures, data={"identity": self.own, "camera": "c1"})

    def delete(self) -> httpx.Response:
        return self.client.delete(f"/gallery/{self.own}")

    def list(self) -> httpx.Response:
        return self.client.get("/gallery", params={"limit": self.draw.choice((1, 10, 0))})

    def images(self) -> httpx.Response:
        return self.client.get(f"/gallery/p{self.draw.randrange(PEOPLE)}/images/{self.draw.randrange(1, 40)}")

    def look(self) -> httpx.Response:
        return self.client.get(
            self.draw.choice(["/readyz", "/model", "/metrics", "/", "/nowhere", "/gallery/nobody"])
        )


def load(url: str, requests: int, seed: int) -> Counter[int]:
    """Sends so many; the answers by status."""

    def work(number: int) -> Counter[int]:
        with httpx.Client(base_url=url, timeout=120, verify=False) as client:
            caller = Caller(client, number, seed)
            return Counter(caller.call().status_code for _ in range(requests // CLIENTS))

    with ThreadPoolExecutor(CLIENTS) as pool:
        return sum(pool.map(work, range(CLIENTS)), Counter[int]())


def soak(bundle: Path, data_dir: Path, requests: int) -> Iterator[tuple[int, float, Counter[int]]]:
    """After each 1,000 requests: how many so far, the resident memory in MB, and the statuses of these answers."""
    with started(bundle, data_dir) as process:
        with httpx.Client(base_url=process.url, timeout=120, verify=False) as client:
            for number in range(PEOPLE):
                picture = {"images": encoded(person(number))}
                client.post("/gallery", files=picture, data={"identity": f"p{number}"}).raise_for_status()
        for done in range(EVERY, requests + 1, EVERY):
            statuses = load(process.url, EVERY, seed=done)
            yield done, resident(process.pid), statuses


def resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS:"))) / 1000


def slope(sizes: Sequence[float]) -> float:
    """MB per 1,000 requests, after the warm-up."""
    kept = sizes[int(len(sizes) * WARM_UP) :]
    return float(np.polyfit(np.arange(len(kept)), kept, 1)[0])


def main(
    requests: Annotated[int, typer.Option(help="how many, in thousands")] = 50_000,
    bundle: Annotated[Path | None, typer.Option(help="by default a tiny one, made here")] = None,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        chosen = bundle or make_tiny_bundle(Path(folder) / "bundle")
        (data := Path(folder) / "data").mkdir()
        sizes = []
        for done, size, statuses in soak(chosen, data, requests):
            sizes.append(size)
            answers = ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items()))
            print(f"{done:>7,} requests: {size:7.1f} MB   {answers}", flush=True)
    print(f"{requests:,} requests: {slope(sizes):+.3f} MB per 1,000 after the first {WARM_UP:.0%}")


if __name__ == "__main__":
    typer.run(main)
