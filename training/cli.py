"""`dgrl-train`: every step from images to a bundle is one command."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from model.weights import load_rcan
from training.ablation import ABLATIONS, Bench, Resolver, ablated, comparison, run_ablation
from training.config import ConfigError, DGRLRecipe, RCANRecipe, load_recipe
from training.data.opened import open_manifest, root_of
from training.data.sources import Source
from training.data.unseen import check_not_trained_on
from training.device import choose_device
from training.distributed import joined, refuse_processes
from training.evaluation.average import average
from training.evaluation.command import calibrate, evaluate
from training.evaluation.errors import clear_errors
from training.experiment import run_dgrl, with_identities
from training.export.command import export
from training.failure import TrainingFailed
from training.options import Counts, Kind, ManifestFile, Protocol, Seed, Split
from training.options import Data as Root
from training.pairs import Data, check_enlargement
from training.rcan_experiment import describe_rcan, run_rcan
from training.start import from_imagenet, from_weights, super_resolver
from training.super_resolution_quality import Quality
from training.super_resolve import Enlargement
from training.train_rcan import WEIGHTS_NAME

_INTERRUPTED = 130  # as a shell has it: 128 and the number of SIGINT

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)

Recipe = Annotated[Path | None, typer.Option(help="TOML laid over the paper's recipe")]
Out = Annotated[Path, typer.Option(help="the run's folder; a run that was cut off goes on")]
Cache = Annotated[Path, typer.Option(help="decoded and super-resolved images are kept here")]
ImageNet = Annotated[
    Path | None, typer.Option(help="ResNet-50 weights (.safetensors); default: torchvision's")
]
Force = Annotated[bool, typer.Option(help="start even where memory or disk does not seem to suffice")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda")]


@app.command()
def rcan(
    root: Root,
    start_from: Annotated[
        Path | None, typer.Option(help="start from another RCAN with the same body, ours or a published one")
    ] = None,
    recipe: Recipe = None,
    out: Out = Path("runs/rcan"),
    dataset: Kind = None,
    protocol: Protocol = "",
    split: Split = None,
    seed: Seed = 0,
    manifest: ManifestFile = None,
    cache: Cache = Path("runs/cache"),
    device: Device = "auto",
    strict_counts: Counts = True,
    force: Force = False,
) -> None:
    """Train the super-resolver on training identities; a few of them are held out to choose its best weights on."""
    with _said():
        refuse_processes("dgrl-train rcan")
        data = _data(root, manifest, dataset, protocol, split, seed, strict_counts, cache)
        check_not_trained_on([start_from] if start_from else [], data.manifest)
        used, chosen = load_recipe(RCANRecipe(), recipe), choose_device(device)
        quality = run_rcan(used, data, out, chosen, start_from, force=force)
        Console().print(describe_rcan(load_rcan(out / WEIGHTS_NAME)), _table(quality))


@app.command()
def dgrl(
    root: Root,
    rcan: Annotated[
        Path | None, typer.Option(help="RCAN weights, or a bundle, that make the SR twins")
    ] = None,
    bilinear: Annotated[bool, typer.Option(help="no super-resolution: enlarge plainly")] = False,
    imagenet: ImageNet = None,
    start_from: Annotated[
        Path | None, typer.Option(help="start from a DGRL checkpoint or an exported bundle instead")
    ] = None,
    recipe: Recipe = None,
    out: Out = Path("runs/dgrl"),
    dataset: Kind = None,
    protocol: Protocol = "",
    split: Split = None,
    seed: Seed = 0,
    manifest: ManifestFile = None,
    cache: Cache = Path("runs/cache"),
    device: Device = "auto",
    strict_counts: Counts = True,
    force: Force = False,
) -> None:
    """Train DGRL on pairs of HR images and their super-resolved twins; under torchrun, on several GPUs."""
    with _said(), joined(device) as (ranks, chosen):
        given = load_recipe(DGRLRecipe(), recipe)
        with ranks.main_first():
            data = _data(root, manifest, dataset, protocol, split, seed, strict_counts, cache)
        check_enlargement(data.manifest, rcan, bilinear)
        check_not_trained_on([path for path in (rcan, start_from) if path], data.manifest)
        enlarge: Enlargement | None = super_resolver(rcan) if rcan else "bilinear" if bilinear else None
        used = with_identities(given, data.manifest)
        if start_from is None:
            start = from_imagenet(used.model, used.seed, imagenet)
        else:
            start = from_weights(used.model, used.seed, start_from)
        weights = run_dgrl(
            used, data, start, enlarge, rcan, out, chosen, ranks, started_from=start_from, force=force
        )
        if ranks.main:
            Console().print(f"{weights}: started from {start.source}", highlight=False)


@app.command()
def ablate(
    root: Root,
    rcan: Annotated[Path, typer.Option(help="weights of the standard RCAN")],
    light_rcan: Annotated[
        Path | None, typer.Option(help="weights of a light RCAN, for the row light-rcan")
    ] = None,
    rows: Annotated[list[str] | None, typer.Option("--row", help=f"some of: {', '.join(ABLATIONS)}")] = None,
    imagenet: ImageNet = None,
    recipe: Recipe = None,
    out: Out = Path("runs/ablations"),
    dataset: Kind = None,
    protocol: Protocol = "",
    split: Split = None,
    seed: Seed = 0,
    manifest: ManifestFile = None,
    cache: Cache = Path("runs/cache"),
    device: Device = "auto",
    strict_counts: Counts = True,
    force: Force = False,
) -> None:
    """Train and evaluate the rows of the paper's Tables II and III on one recipe, and others that --row names."""
    with _said():
        refuse_processes("dgrl-train ablate")
        files: dict[Resolver, Path] = {"rcan": rcan}
        if light_rcan is not None:
            files["light"] = light_rcan
        resolvers = {kind: super_resolver(file) for kind, file in files.items()}
        wanted = rows or [
            name
            for name, row in ABLATIONS.items()
            if row.resolver in ("bilinear", *resolvers) and not row.when_named
        ]
        if unknown := sorted(set(wanted) - set(ABLATIONS)):
            raise ConfigError(f"unknown rows: {', '.join(unknown)}; known are {', '.join(ABLATIONS)}")
        if light_rcan is None and any(ABLATIONS[name].resolver == "light" for name in wanted):
            raise ConfigError("the row light-rcan needs --light-rcan WEIGHTS")
        given = load_recipe(DGRLRecipe(), recipe)
        data = _data(root, manifest, dataset, protocol, split, seed, strict_counts, cache)
        check_enlargement(data.manifest, rcan, bilinear=False)
        check_not_trained_on(list(files.values()), data.manifest)
        base = with_identities(given, data.manifest)
        bench = Bench(base, data, resolvers, files, out, choose_device(device), force)
        results = {}
        for name in wanted:
            start = partial(from_imagenet, ablated(base, ABLATIONS[name]).model, base.seed, imagenet)
            results[name] = run_ablation(ABLATIONS[name], bench, start)
        for scored_by in sorted({row["scorer"] for found in results.values() for row in found}):
            Console().print(comparison(results, scored_by))


app.command()(export)
app.command()(evaluate)
app.command()(calibrate)
app.command()(average)


def _data(
    root: Path,
    file: Path | None,
    source: Source | None,
    protocol: str,
    split: int | None,
    seed: int,
    strict: bool,
    cache: Path,
) -> Data:
    manifest = open_manifest(
        root, file=file, source=source, protocol=protocol, split=split, seed=seed, strict_counts=strict
    )
    return Data(root_of(root), manifest, cache)


def _table(quality: dict[str, dict[int, Quality]]) -> Table:
    table = Table(
        "weights", "scale", "PSNR", "SSIM", "bicubic PSNR", "bicubic SSIM", title="On test identities"
    )
    for name, scales in quality.items():
        for scale, q in scales.items():
            bicubic = f"{q.bicubic_psnr:.2f}", f"{q.bicubic_ssim:.4f}"
            table.add_row(Path(name).stem, f"x{scale}", f"{q.psnr:.2f}", f"{q.ssim:.4f}", *bicubic)
    return table


@contextmanager
def _said() -> Iterator[None]:
    """Progress on the terminal; what a user can mend is one sentence, and so is a curve that broke."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    with clear_errors():
        try:
            yield
        except TrainingFailed as error:
            typer.echo(f"dgrl-train: {error}", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as interrupt:
            typer.echo(
                "dgrl-train: stopped; the same command goes on from the last checkpoint, where there is one",
                err=True,
            )
            raise typer.Exit(_INTERRUPTED) from interrupt
