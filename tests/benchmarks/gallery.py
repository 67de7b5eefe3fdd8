"""The gallery against raw FAISS, NumPy and the memory itself: `python -m tests.benchmarks.gallery [--sizes N]...`.

Everything in one run, with ratios. Vectors are unit rows of 512 values, ten images around the centre of
each person, six cameras.
Times are medians in milliseconds. `floor` is the time in which all cores together can read the float16 vectors once.
"""

import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import faiss
import numpy as np
import typer
from numpy.typing import NDArray

from index import Enrolment, Filters, Gallery, open_gallery
from index.types import SearchMethod

DIMENSION, BATCH, TOP_K, BUNDLE = 512, 64, 10, "0123456789abcdef"
Vectors = NDArray[np.float32]


class Method(StrEnum):
    hnsw = "hnsw"
    ivf = "ivf"


def main(
    sizes: Annotated[list[int] | None, typer.Option(help="images; repeat for more")] = None,
    rounds: Annotated[int, typer.Option(help="repetitions of each search")] = 15,
    methods: Annotated[list[Method] | None, typer.Option(help="approximate indexes to try as well")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="where the galleries are written (default: temporary)")
    ] = None,
) -> None:
    cores = len(os.sched_getaffinity(0))
    speed = bandwidth(cores)
    print(f"{cores} cores; memory reads {bandwidth(1):.1f} GB/s on one core, {speed:.1f} GB/s on all")
    for size in sizes or [10_000, 100_000]:
        place = Path(tempfile.mkdtemp(prefix="gallery-", dir=folder))
        try:
            one_size(size, rounds, place / "gallery.db", speed, [method.value for method in methods or []])
        finally:
            shutil.rmtree(place)


def one_size(size: int, rounds: int, path: Path, speed: float, methods: list[SearchMethod]) -> None:
    floor = size * DIMENSION * 2 / speed / 1e6
    print(
        f"\n{size:,} images; reading them once takes {floor:.2f} ms (float16), {2 * floor:.2f} ms (float32)"
    )
    enrol(size, path)
    for source in ("snapshot", "store"):
        report = json.loads(subprocess.check_output([sys.executable, "-m", __spec__.name, "open", str(path)]))
        print(
            f"opened from the {source} in {report['seconds']:.2f} s, {report['megabytes']:.0f} MB of memory in all"
        )
        path.with_name(path.name + ".snapshot").unlink(missing_ok=True)
    probes = noisy(made(0, BATCH), np.random.default_rng(1), 0.8)
    gallery = open_gallery(f"sqlite:///{path}", bundle_id=BUNDLE, dimension=DIMENSION)
    ours = searches(gallery, probes)
    matrix = made(0, size)
    times = interleaved({**ours, **numpy_searches(matrix, probes), **faiss_searches(matrix, probes)}, rounds)
    gallery.close()
    del matrix, ours
    best_gemm = times["numpy float32, 64 probes"]
    for name, milliseconds in times.items():
        unit, of = ("numpy", best_gemm) if "64" in name else ("floor", floor)
        print(f"  {name:<44} {milliseconds:9.2f} ms   {milliseconds / of:6.2f} x {unit}")
    plain, filtered = times["gallery, 1 probe"], times["gallery, 1 probe, filter that all pass"]
    print(f"  a filter that all images pass costs {100 * (filtered / plain - 1):+.1f}%")
    for method in methods:
        approximate(path, method, probes, rounds, plain)


def approximate(path: Path, method: SearchMethod, probes: Vectors, rounds: int, exact: float) -> None:
    gallery = open_gallery(f"sqlite:///{path}", bundle_id=BUNDLE, dimension=DIMENSION, search=method)
    while (about := gallery.acceleration) is None:
        time.sleep(0.1)
    [milliseconds] = interleaved({"": lambda: gallery.search(probes[:1], TOP_K)}, rounds).values()
    print(
        f"  {method}: {milliseconds:.2f} ms for 1 probe, {exact / milliseconds:.1f} times as fast as exact;",
        end=" ",
    )
    print(f"recall {about.recall:.3f}, built in {about.seconds:.0f} s")
    gallery.close()


def made(start: int, count: int) -> Vectors:
    """(count, DIMENSION) unit rows from image `start` on, a multiple of 10,000; ten to a person."""
    rows = np.empty((count, DIMENSION), np.float32)
    for block in range(0, count, 10_000):
        rng, part = np.random.default_rng(start + block), rows[block : block + 10_000]
        centres = rng.standard_normal((len(part) // 10 + 1, DIMENSION), dtype=np.float32)
        part[:] = noisy(np.repeat(centres, 10, axis=0)[: len(part)], rng, 0.8)
    return rows


def noisy(rows: Vectors, rng: np.random.Generator, amount: float) -> Vectors:
    """Unit rows: `rows` with noise of `amount` times their length."""
    length = np.linalg.norm(rows, axis=1, keepdims=True) * (amount / math.sqrt(rows.shape[1]))
    rows = rows + rng.standard_normal(rows.shape, dtype=np.float32) * length
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert rows.dtype == np.float32  # or NumPy would convert the whole matrix in each search
    return rows


def enrol(size: int, path: Path, batch: int = 10_000) -> None:
    gallery = open_gallery(f"sqlite:///{path}", bundle_id=BUNDLE, dimension=DIMENSION)
    seconds = 0.0
    for start in range(0, size, batch):
        rows = made(start, min(batch, size - start))
        items = [
            Enrolment(f"person {(start + n) // 10}", row, f"{start + n:064d}", f"c{(start + n) % 6}")
            for n, row in enumerate(rows)
        ]
        begin = time.perf_counter()
        gallery.add(items)
        seconds += time.perf_counter() - begin
    begin = time.perf_counter()
    gallery.close()
    closed = time.perf_counter() - begin
    print(
        f"enrolled {size / seconds:,.0f} a second, durable in batches of {batch:,}; closed in {closed:.2f} s;",
        end=" ",
    )
    print(f"{path.stat().st_size / 2**20:.0f} MB on the disk")


def searches(gallery: Gallery, probes: Vectors) -> dict[str, Callable[[], object]]:
    everyone, half = (
        Filters(exclude_cameras=frozenset({"c9"})),
        Filters(cameras=frozenset({"c0", "c2", "c4"})),
    )
    person = Filters(prefix="person 77")
    one = probes[:1]
    return {
        "gallery, 1 probe": lambda: gallery.search(one, TOP_K),
        "gallery, 1 probe, filter that all pass": lambda: gallery.search(one, TOP_K, filters=everyone),
        "gallery, 1 probe, 3 of 6 cameras": lambda: gallery.search(one, TOP_K, filters=half),
        "gallery, 1 probe, prefix": lambda: gallery.search(one, TOP_K, filters=person),
        "gallery, 64 probes": lambda: gallery.search(probes, TOP_K),
        "gallery, 64 probes, 3 of 6 cameras": lambda: gallery.search(probes, TOP_K, filters=half),
    }


def numpy_searches(matrix: Vectors, probes: Vectors) -> dict[str, Callable[[], object]]:
    return {
        "numpy float32, 1 probe": lambda: matrix @ probes[0],
        "numpy float32, 64 probes": lambda: matrix @ probes.T,
    }


def faiss_searches(matrix: Vectors, probes: Vectors) -> dict[str, Callable[[], object]]:
    flat = faiss.IndexFlatIP(DIMENSION)
    flat.add(matrix)
    half = faiss.IndexScalarQuantizer(DIMENSION, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    half.add(matrix)

    def with_threshold(probes_at_once: int) -> Callable[[], object]:
        def search() -> None:
            before = faiss.cvar.distance_compute_blas_threshold
            faiss.cvar.distance_compute_blas_threshold = probes_at_once
            flat.search(probes, 64)
            faiss.cvar.distance_compute_blas_threshold = before

        return search

    return {
        "faiss flat float32, 1 probe": lambda: flat.search(probes[:1], 64),
        "faiss flat float16, 1 probe": lambda: half.search(probes[:1], 64),
        "faiss flat float32, 64 probes, as delivered": with_threshold(128_000),
        "faiss flat float32, 64 probes, BLAS": with_threshold(20),
        "faiss flat float16, 64 probes": lambda: half.search(probes, 64),
    }


def interleaved(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Medians in milliseconds. Each call in turn, so that a slow minute slows all of them, and twice, of which the
    second counts: threads of other libraries spin on for a while after their work is done."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            call()
            begin = time.perf_counter()
            call()
            times[name].append(1e3 * (time.perf_counter() - begin))
    return {name: statistics.median(values) for name, values in times.items()}


def bandwidth(threads: int) -> float:
    """GB/s at which `threads` cores together read memory far larger than their caches."""
    block = np.ones(2**28 // 8 // threads, np.uint64)  # 256 MB in all
    blocks = [block.copy() for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:

        def read() -> float:
            begin = time.perf_counter()
            list(pool.map(lambda own: own.max(), blocks))
            return time.perf_counter() - begin

        return sum(own.nbytes for own in blocks) / min(read() for _ in range(10)) / 1e9


def opened(path: Path) -> None:
    """In a process of its own: how long opening takes, and the memory after some searches."""
    begin = time.perf_counter()
    gallery = open_gallery(f"sqlite:///{path}", bundle_id=BUNDLE, dimension=DIMENSION)
    seconds = time.perf_counter() - begin
    for _ in range(3):
        gallery.search(made(0, 1), TOP_K)
    peak = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")
    )
    print(json.dumps({"seconds": seconds, "megabytes": int(peak.split()[1]) / 1024}))
    os._exit(0)  # without closing it, which would write a snapshot


if __name__ == "__main__":
    if sys.argv[1:2] == ["open"]:
        opened(Path(sys.argv[2]))
    typer.run(main)
