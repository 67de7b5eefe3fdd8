"""What the service adds to its models: `python -m tests.benchmarks.service_overhead [--bundle FOLDER] [--rounds N]`.

One client asks in turn, so that nothing waits; then many at once. Printed per probe height: the medians of the
answer's own times, the request as the client sees it, and its ratio to the model times (super-resolution and
embedding) of the same request.
"""

import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import httpx
import typer

from tests.support.pictures import encoded, low_resolution, person
from tests.support.process import started

PEOPLE = 50
STAGES = ("decode", "super_resolve", "embed", "search", "queue", "total")
SHIPPED = Path("model/bundles/market1501")


def main(
    bundle: Annotated[Path, typer.Option(help="a bundle whose HR reference height is 128")] = SHIPPED,
    rounds: Annotated[int, typer.Option(help="queries of each height")] = 100,
    clients: Annotated[list[int] | None, typer.Option(help="clients at once; repeat for more")] = None,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        with started(bundle, Path(folder), settings={}) as process:
            print(f"start: {time.perf_counter() - begin:.1f} s")
            with httpx.Client(base_url=process.url, timeout=120) as client:
                enrol(client)
                ready = client.get("/readyz").raise_for_status().json()
                print(f"provider {ready['provider']}, precision {ready['precision']}, {rounds} queries each")
                titles = " ".join(f"{stage:>13}" for stage in STAGES)
                print(f"{'height':>6} {titles} {'request':>9} {'ratio':>6}  (ms)")
                for ratio in (4, 3, 2, 1):
                    alone(client, encoded(low_resolution(person(7, 128, 1), ratio), "JPEG"), rounds)
            for count in clients or [8, 32]:
                together(process.url, count, rounds)


def enrol(client: httpx.Client) -> None:
    begin = time.perf_counter()
    for number in range(0, PEOPLE):
        pictures = [encoded(person(number, 128, variant), "JPEG") for variant in range(4)]
        files = [("images", (f"{n}.jpg", picture)) for n, picture in enumerate(pictures)]
        client.post("/gallery", files=files, data={"identity": f"p{number}"}).raise_for_status()
    print(f"enrolled {4 * PEOPLE / (time.perf_counter() - begin):.0f} images/s, 4 a request, one client")


def alone(client: httpx.Client, crop: bytes, rounds: int) -> None:
    requests, times = [], []
    for _ in range(rounds):
        begin = time.perf_counter()
        answer = client.post("/query", files={"images": crop}).json()
        requests.append(1000 * (time.perf_counter() - begin))
        times.append(answer["timing_ms"])
    ratios = [r / (t["super_resolve"] + t["embed"]) for r, t in zip(requests, times, strict=True)]
    cells = [median([t[stage] for t in times]) for stage in STAGES]
    row = " ".join(f"{cell:13.2f}" for cell in cells)
    print(f"{answer['probe']['height']:>6} {row} {median(requests):9.2f} {median(ratios):6.3f}")


def together(url: str, clients: int, rounds: int) -> None:
    crop = encoded(low_resolution(person(7, 128, 1), 4), "JPEG")

    def ask(_: int) -> list[float]:
        taken = []
        with httpx.Client(base_url=url, timeout=120) as client:
            for _ in range(max(1, 4 * rounds // clients)):
                begin = time.perf_counter()
                client.post("/query", files={"images": crop}).raise_for_status()
                taken.append(1000 * (time.perf_counter() - begin))
        return taken

    begin = time.perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        taken = sorted(one for many in pool.map(ask, range(clients)) for one in many)
    rate = len(taken) / (time.perf_counter() - begin)
    late = taken[len(taken) * 95 // 100]
    print(f"{clients} clients: {rate:.1f} queries/s, p50 {median(taken):.0f} ms, p95 {late:.0f} ms")


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


if __name__ == "__main__":
    typer.run(main)
