"""The distributed gallery against the embedded one: `python -m tests.benchmarks.milvus [--sizes N] [--indexes KIND]`.

Both in one run, with ratios, on the same images (see tests.benchmarks.gallery) and the same cores. Milvus is the PyPI
server on loopback: what the network adds is not in these figures. Times are medians in milliseconds.
"""

import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from pymilvus import MilvusClient

from index import Enrolment, Gallery, Match, open_gallery
from tests.benchmarks.gallery import BATCH, BUNDLE, DIMENSION, TOP_K, interleaved, made, noisy
from tests.support.milvus_server import MilvusProcess, milvus_server

_BATCH = 1000


def main(
    sizes: Annotated[list[int] | None, typer.Option(help="images; repeat for more")] = None,
    indexes: Annotated[list[str] | None, typer.Option(help="exact, hnsw, ivf; repeat for more")] = None,
    rounds: Annotated[int, typer.Option(help="repetitions of each search")] = 15,
) -> None:
    with tempfile.TemporaryDirectory() as folder, milvus_server(Path(folder) / "server") as server:
        print(f"Milvus at rest: {memory(server)} MB")
        for size in sizes or [10_000, 100_000]:
            for index in indexes or ["exact", "hnsw"]:
                one_size(size, index, rounds, Path(folder), server)


def one_size(size: int, index: str, rounds: int, folder: Path, server: MilvusProcess) -> None:
    embedded = opened(f"sqlite:///{folder / f'{size}-{index}.db'}")
    milvus = opened(f"milvus://{server.address}/g{size}{index}?index={index}")
    print(f"\n{size:,} images, Milvus with the index kind {index}")
    seconds = {name: enrol(gallery, size) for name, gallery in (("embedded", embedded), ("Milvus", milvus))}
    for name, taken in seconds.items():
        print(f"  {name} enrols {size / taken:8,.0f} a second in batches of {_BATCH:,}")
    settle(server)
    print(f"  the server has {memory(server)} MB of memory in all")
    probes = noisy(made(0, BATCH), np.random.default_rng(1), 0.8)
    times = interleaved(
        {
            "embedded, 1 probe": lambda: embedded.search(probes[:1], TOP_K),
            "Milvus, 1 probe": lambda: milvus.search(probes[:1], TOP_K),
            f"embedded, {BATCH} probes": lambda: embedded.search(probes, TOP_K),
            f"Milvus, {BATCH} probes": lambda: milvus.search(probes, TOP_K),
        },
        rounds,
    )
    for name, milliseconds in times.items():
        base = times[name.replace("Milvus", "embedded")]
        print(f"  {name:<28} {milliseconds:9.2f} ms   {milliseconds / base:6.2f} x embedded")
    expected, found = embedded.search(probes, TOP_K), milvus.search(probes, TOP_K)
    print(f"  Milvus finds {100 * share(found, expected):.1f}% of the embedded gallery's {TOP_K} best")
    delays = [visible_after(milvus, number) for number in range(5)]
    print(f"  an enrolment of one image and the search that sees it take {np.median(delays):.0f} ms")
    embedded.close()
    milvus.close()
    again = opened(f"milvus://{server.address}/g{size}{index}")
    if (about := again.acceleration) is not None:
        print(f"  recall against the same index at 32 times the effort: {about.recall:.3f}")
    again.close()


def opened(uri: str) -> Gallery:
    return open_gallery(uri, bundle_id=BUNDLE, dimension=DIMENSION, keep_images=False)


def enrol(gallery: Gallery, size: int) -> float:
    seconds = 0.0
    for start in range(0, size, 10_000):
        rows = made(start, min(10_000, size - start))
        items = [
            Enrolment(f"person {(start + n) // 10}", row, f"{start + n:064d}", f"c{(start + n) % 6}")
            for n, row in enumerate(rows)
        ]
        begin = time.perf_counter()
        for first in range(0, len(items), _BATCH):
            gallery.add(items[first : first + _BATCH])
        seconds += time.perf_counter() - begin
    return seconds


def settle(server: MilvusProcess) -> None:
    """Milvus searches what came last without an index, until it has sealed and indexed it: wait for that."""
    client = MilvusClient(f"http://{server.address}")
    for name in client.list_collections():
        client.flush(name)
        while client.describe_index(name, "vector")["pending_index_rows"]:
            time.sleep(0.2)
    time.sleep(5)  # until the query node has taken the indexed segments over
    client.close()


def visible_after(gallery: Gallery, number: int) -> float:
    vector = noisy(np.ones((1, DIMENSION), np.float32), np.random.default_rng(number), 2.0)
    begin = time.perf_counter()
    gallery.add([Enrolment(f"late {number}", vector[0], "x")])
    [matches] = gallery.search(vector, 1)
    assert matches[0].identity == f"late {number}"
    return 1000 * (time.perf_counter() - begin)


def share(found: list[list[Match]], expected: list[list[Match]]) -> float:
    """Of the expected identities that were found."""
    pairs = zip(found, expected, strict=True)
    return float(np.mean([len({m.identity for m in a} & {m.identity for m in b}) / len(b) for a, b in pairs]))


def memory(server: MilvusProcess) -> int:
    lines = Path(f"/proc/{server.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) >> 10


if __name__ == "__main__":
    typer.run(main)
