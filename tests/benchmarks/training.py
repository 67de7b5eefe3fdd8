"""DGRL's training loop against a plain one: `python -m tests.benchmarks.training [--size small|full] [--ladder]`.

The plain loop opens, decodes and augments each file when its turn comes, in float32, eager. The real one is
`training.train_dgrl`, fed through the manifest and the caches of a real run. Same network, losses and batches, one
synthetic Market-1501 folder, one run. FLOP/s are the counted operations of a step over its median time; the peak is
that of a matrix product, measured in the same run. On a GPU, PyTorch runs float32 convolutions as TF32 unless told
otherwise, and float32 matrix products not: the plain loop can then stand above its peak.
"""

import dataclasses
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from PIL import Image
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from model.config import ModelConfig
from model.dgrl import DGRL
from tests.support.plain_training import Batches, PairFiles, train_plainly
from tests.training.lookalike import save
from training.config import DGRLRecipe, OptimiserConfig, Precision
from training.data.manifest import Manifest, build_manifest
from training.data.market1501 import load_market1501
from training.device import choose_device
from training.packed import high_resolution
from training.pair_store import Pairs
from training.sampler import PKSampler
from training.step_clock import StepClock
from training.super_resolve import super_resolved
from training.train_dgrl import train_dgrl

PARTS = ("data", "forward", "backward", "optimiser")
WARM_UP = 2  # steps that are not counted: compilation, first allocations


class Size(StrEnum):
    small = "small"
    full = "full"


SMALL = ModelConfig(
    height=128, width=64, stem_channels=32, stage_blocks=(2, 2, 2, 2), dimension=128, groups=8,
    restormer_block=dataclasses.replace(ModelConfig().restormer_block, dim=32),
)  # fmt: skip
"""For one core: the same kinds of layers with little arithmetic."""


class Kept(StepClock):
    """A clock whose readings stay."""

    def __init__(self, device: torch.device, now: Callable[[], float]) -> None:
        super().__init__(device, now)
        self.steps: list[dict[str, float]] = []

    def read(self) -> list[dict[str, float]]:
        new = super().read()
        self.steps += new
        return new


@dataclasses.dataclass(frozen=True)
class Bench:
    """What all loops share."""

    recipe: DGRLRecipe
    pairs: Pairs
    files: Sequence[tuple[Path, Path]]
    device: torch.device
    steps: int  # with those that are not counted
    workers: int

    def plain(self, clock: Kept) -> None:
        batches = Batches(sampler(self.recipe, self.pairs), self.steps)
        data = PairFiles(self.files, self.pairs.labels, self.recipe)
        train_plainly(self.recipe, made(self.recipe, self.device), data, batches, clock, self.workers)

    def real(self, precision: Precision, compiled: bool, clock: Kept) -> None:
        epochs = self.steps / sampler(self.recipe, self.pairs).steps_per_epoch
        used = dataclasses.replace(
            self.recipe, precision=precision, compile=compiled, epochs=epochs, log_steps=10**9
        )
        with tempfile.TemporaryDirectory() as out:
            train_dgrl(used, made(used, self.device), self.pairs, Path(out), self.device, clock=clock)


Rung = tuple[str, Precision, Callable[[Kept], None]]


def main(
    size: Annotated[Size, typer.Option(help="of network and batch")] = Size.small,
    steps: Annotated[int, typer.Option(help="counted steps of each loop")] = 8,
    identities: Annotated[int, typer.Option(help="of the synthetic set")] = 24,
    shots: Annotated[int, typer.Option(help="images of each identity")] = 8,
    workers: Annotated[int, typer.Option(help="processes that decode for the plain loop")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    ladder: Annotated[bool, typer.Option(help="one speed-up after the other")] = False,
    cpu_time: Annotated[
        bool, typer.Option(help="count CPU seconds: for a machine that others use too")
    ] = False,
) -> None:
    logging.getLogger("training").setLevel(logging.WARNING)
    chosen, recipe = choose_device(device), recipe_of(size, identities)
    with tempfile.TemporaryDirectory() as folder:
        pairs, files = made_set(Path(folder), recipe, shots, chosen)
        bench = Bench(recipe, pairs, files, chosen, WARM_UP + steps, workers)
        compare(bench, rungs(bench, ladder), time.process_time if cpu_time else time.perf_counter)


def rungs(bench: Bench, ladder: bool) -> list[Rung]:
    """From the plain loop to the real one."""
    eager: Rung = ("real loop, bfloat16, eager", "bfloat16", partial(bench.real, "bfloat16", False))
    if not ladder:
        return [("plain loop", "float32", bench.plain), eager]
    return [
        ("plain loop", "float32", bench.plain),
        ("real loop, float32, eager", "float32", partial(bench.real, "float32", False)),
        eager,
        ("real loop, bfloat16, compiled", "bfloat16", partial(bench.real, "bfloat16", True)),
    ]


def compare(bench: Bench, loops: Sequence[Rung], now: Callable[[], float]) -> None:
    """Run the loops one after the other; ratios are to the first."""
    count = count_operations(bench.recipe)
    peaks = {precision: peak(precision, bench.device, now) for precision in ("float32", "bfloat16")}
    pairs = bench.recipe.identities_per_batch * bench.recipe.pairs_per_identity
    print(
        f"{bench.device}, {torch.get_num_threads()} threads; {len(bench.pairs.labels)} pairs of images; a step: "
        f"{pairs} pairs, {count / 1e9:.1f} GFLOP; "
        f"peak {peaks['float32'] / 1e9:.0f} (float32), {peaks['bfloat16'] / 1e9:.0f} (bfloat16) GFLOP/s"
    )
    titles = " ".join(f"{part:>9}" for part in PARTS)
    print(f"{'':30} images/s  ratio {titles}  (ms)  waits for data  FLOP/s of peak")
    baseline = 0.0
    for name, precision, loop in loops:
        clock = Kept(bench.device, now)
        loop(clock)
        clock.read()
        speed = show(name, clock.steps[WARM_UP:], 2 * pairs, count, peaks[precision], baseline)
        baseline = baseline or speed


def made_set(
    folder: Path, recipe: DGRLRecipe, shots: int, device: torch.device
) -> tuple[Pairs, list[tuple[Path, Path]]]:
    """A synthetic set by the ways of a real run, and the files that the plain loop reads."""
    root = draw_set(folder, recipe.model.identities, shots)
    manifest = build_manifest(load_market1501(root, strict_counts=False), "all", 0)
    pairs = decoded(recipe, root, manifest, folder / "cache", device)
    twins = twin_files(pairs, folder / "sr")
    return pairs, [(root / entry.file, twin) for entry, twin in zip(manifest.of("train"), twins, strict=True)]


def recipe_of(size: Size, identities: int) -> DGRLRecipe:
    """The paper's recipe, or a small network and batch; a rate at which untrained networks stay finite."""
    recipe = DGRLRecipe(
        name=f"benchmark {size}", optimiser=OptimiserConfig(rate=1e-4), checkpoint_minutes=1e9
    )
    if size == Size.small:
        recipe = dataclasses.replace(recipe, model=SMALL, identities_per_batch=4)
    return dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, identities=identities))


def draw_set(folder: Path, identities: int, shots: int) -> Path:
    """A Market-1501 folder of 128x64 JPEGs, training images and a few others."""
    root = folder / "market"
    for identity in range(1, identities + 1):
        for shot in range(shots):
            name = f"bounding_box_train/{identity:04d}_c{1 + shot % 6}s1_{shot:06d}_00.jpg"
            save(root / name, identity, 1 + shot % 6, shot, height=128, width=64)
    for camera, place in ((1, "query"), (2, "bounding_box_test")):
        name = f"{place}/{identities + 1:04d}_c{camera}s1_000001_00.jpg"
        save(root / name, identities + 1, camera, height=128, width=64)
    return root


def decoded(recipe: DGRLRecipe, root: Path, manifest: Manifest, cache: Path, device: torch.device) -> Pairs:
    """The caches of a run; plain enlargement makes the twins, because RCAN is no part of the loop."""
    size, entries = (recipe.model.height, recipe.model.width), manifest.of("train")
    hr = high_resolution(root, manifest, entries, size, cache)
    sr = super_resolved(
        root,
        manifest,
        entries,
        "bilinear",
        reference=recipe.hr_reference,
        size=size,
        cache=cache,
        device=device,
    )
    numbers = {identity: n for n, identity in enumerate(sorted({entry.identity for entry in entries}))}
    return Pairs(hr, sr, [numbers[entry.identity] for entry in entries])


def twin_files(pairs: Pairs, folder: Path) -> list[Path]:
    """The SR twins as files, lossless: what the plain loop reads."""
    folder.mkdir()
    paths = [folder / f"{number}.png" for number in range(len(pairs.labels))]
    for path, image in zip(paths, pairs.sr, strict=True):
        Image.fromarray(image).save(path)
    return paths


def sampler(recipe: DGRLRecipe, pairs: Pairs) -> PKSampler:
    return PKSampler(
        pairs.labels,
        identities_per_batch=recipe.identities_per_batch,
        per_identity=recipe.pairs_per_identity,
        seed=recipe.seed,
    )


def made(recipe: DGRLRecipe, device: torch.device) -> DGRL:
    torch.manual_seed(0)
    return DGRL(recipe.model).to(device)


def count_operations(recipe: DGRLRecipe) -> float:
    """Of forward and backward of one batch: convolutions and matrix products, without the losses."""
    pairs = recipe.identities_per_batch * recipe.pairs_per_identity
    with FakeTensorMode(), FlopCounterMode(display=False) as counter:  # shapes only, nothing is computed
        hr, sr = torch.empty(2, pairs, 3, recipe.model.height, recipe.model.width)
        output = DGRL(recipe.model)(hr, sr)
        sum(branch.logits.sum() for branch in output.branches).backward()
    return float(counter.get_total_flops())


def peak(precision: Precision, device: torch.device, now: Callable[[], float]) -> float:
    """FLOP/s of the fastest of a few large matrix products."""
    n = 8192 if device.type == "cuda" else 1536
    a = torch.randn(n, n, device=device, dtype=getattr(torch, precision))
    clock = StepClock(device, now)
    for _ in range(6):
        clock.begin()
        a @ a
        clock.lap("product")
    return 2 * n**3 / min(step["product"] for step in clock.read())


def show(
    name: str, steps: Sequence[dict[str, float]], images: int, count: float, best: float, baseline: float
) -> float:
    """One line of medians; images per second."""
    parts = {part: statistics.median(step[part] for step in steps) for part in PARTS}
    whole = statistics.median(sum(step.values()) for step in steps)
    speed = images / whole
    cells = " ".join(f"{1000 * parts[part]:9.1f}" for part in PARTS)
    print(
        f"{name:30} {speed:8.1f} {speed / (baseline or speed):6.2f} {cells} "
        f"       {parts['data'] / whole:11.2%} {count / whole / best:15.0%}"
    )
    return speed


if __name__ == "__main__":
    typer.run(main)
