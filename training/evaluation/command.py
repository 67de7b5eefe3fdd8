"""`evaluate` and `calibrate` for the command line."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from model.bundle.manifest import MANIFEST_NAME
from model.bundle.session import Precision, Provider
from training.data.opened import open_manifest, root_of
from training.data.sources import Source
from training.evaluation.calibrated import Calibrated, calibrated
from training.evaluation.calibration import RATES
from training.evaluation.charts import cmc_curves, reliability_curve, score_histograms
from training.evaluation.encoders import Flipped
from training.evaluation.errors import clear_errors
from training.evaluation.evaluate import Run, Variant
from training.evaluation.evaluate import evaluate as run_evaluation
from training.evaluation.html import write_html
from training.evaluation.progress import tracker
from training.evaluation.report import Report, make_report
from training.evaluation.rerank import Reranking
from training.evaluation.scorers import Scorer, ScorerName, scorer
from training.evaluation.sheets import ROWS, write_sheet
from training.evaluation.subjects import Subject, baseline_subject, bundle_subject, checkpoint_subject
from training.evaluation.tables import print_calibration, print_report, print_subject
from training.evaluation.thresholds import CalibrationError
from training.export.manifest_file import update_manifest
from training.options import Counts, Data, Kind, ManifestFile, Protocol, Seed, Split

BundleFolder = Annotated[Path | None, typer.Option(help="an exported bundle")]
Checkpoint = Annotated[
    Path | None, typer.Option("--dgrl", "--checkpoint", help="DGRL weights (.safetensors), with --rcan")
]
HRReference = Annotated[
    tuple[int, int] | None,
    typer.Option(
        help="HEIGHT WIDTH that a checkpoint's RCAN leads to; default: what its training record says"
    ),
]
Rcan = Annotated[list[Path] | None, typer.Option(help="RCAN weights for a checkpoint; may be repeated")]


def _rates(given: list[float] | None) -> list[float] | None:
    if wrong := [rate for rate in given or () if not 0 < rate < 1]:
        raise typer.BadParameter(f"a false-accept rate lies between 0 and 1, such as 0.001; not {wrong[0]:g}")
    return given


Rates = Annotated[
    list[float] | None, typer.Option("--far", help="false-accept rates; may be repeated", callback=_rates)
]
ProviderOption = Annotated[Provider, typer.Option(help="what runs a bundle")]
PrecisionOption = Annotated[Precision, typer.Option(help="auto is the fastest that the provider has")]
Device = Annotated[str, typer.Option(help="what runs checkpoint and baseline: auto, cpu, cuda")]
Threads = Annotated[int, typer.Option(help="to decode images")]
Html = Annotated[Path | None, typer.Option(help="write a self-contained page")]
Into = Annotated[bool, typer.Option(help="put the results into the bundle's manifest")]


def evaluate(
    data: Data,
    bundle: BundleFolder = None,
    checkpoint: Checkpoint = None,
    rcan: Rcan = None,
    hr_reference: HRReference = None,
    baseline: Annotated[
        Path | None, typer.Option(help="ImageNet ResNet-50 weights, as a further row")
    ] = None,
    dataset: Kind = None,
    protocol: Protocol = "",
    split: Split = None,
    seed: Seed = 0,
    manifest: ManifestFile = None,
    scorers: Annotated[list[ScorerName] | None, typer.Option("--scorer", help="may be repeated")] = None,
    repeats: Annotated[int, typer.Option(help="draws of single_shot", min=1)] = 10,
    variants: Annotated[
        list[Variant] | None, typer.Option("--variant", help="how probes reach the encoder; may be repeated")
    ] = None,
    flip: Annotated[bool, typer.Option(help="add each image's mirror image")] = False,
    rerank: Annotated[bool, typer.Option(help="k-reciprocal re-ranking over all images")] = False,
    calibration: Annotated[bool, typer.Option(help="calibrate too, for the report")] = False,
    far: Rates = None,
    provider: ProviderOption = Provider.AUTO,
    precision: PrecisionOption = Precision.AUTO,
    device: Device = "auto",
    threads: Threads = 2,
    strict_counts: Counts = True,
    json: Annotated[Path | None, typer.Option(help="write the report as JSON")] = None,
    html: Html = None,
    sheet: Annotated[
        Path | None, typer.Option(help="write rankings with images of people: keep that file to yourself")
    ] = None,
    sheet_probes: Annotated[int, typer.Option(help="probes on the sheet", min=2)] = ROWS,
    into_bundle: Into = False,
) -> None:
    """Rank-1/5/10, mAP and mINP, overall and per down-sampling factor."""
    with clear_errors():
        console = Console()
        if bundle is None and checkpoint is None and baseline is None:
            raise typer.BadParameter("nothing to evaluate: give --bundle, --dgrl or --baseline")
        if bundle is None and (into_bundle or calibration):
            raise typer.BadParameter("--into-bundle and --calibration need --bundle")
        if (flip or rerank) and (into_bundle or calibration):
            raise typer.BadParameter(
                "a bundle's results and calibration are those without --flip and --rerank"
            )
        if rerank and sheet is not None:
            raise typer.BadParameter("a sheet shows the ranking by score: leave out --rerank or --sheet")
        used = open_manifest(
            data,
            file=manifest,
            source=dataset,
            protocol=protocol,
            split=split,
            seed=seed,
            strict_counts=strict_counts,
        )
        kind = Source.of(used.dataset)
        wanted = variants or _usual_variants(kind)
        if checkpoint is not None and not rcan and Variant.SUPER_RESOLVED in wanted:
            raise typer.BadParameter("a checkpoint needs --rcan, or --variant bilinear")
        if calibration:
            wanted = list(dict.fromkeys([Variant.SUPER_RESOLVED, *wanted, Variant.SHARP]))
        by = [scorer(name, repeats=repeats, seed=seed) for name in scorers or _usual_scorers(kind)]
        subjects: list[tuple[Subject, list[Variant]]] = []
        if bundle is not None:
            subjects.append((bundle_subject(bundle, provider, precision, used), wanted))
        if checkpoint is not None:
            subjects.append(
                (checkpoint_subject(checkpoint, rcan or [], precision, device, hr_reference, used), wanted)
            )
        if baseline is not None:
            subjects.append((baseline_subject(baseline, precision, device), [Variant.SUPER_RESOLVED]))
        runs: list[Run] = []
        found: Calibrated | None = None
        refused: CalibrationError | None = None
        for subject, ways in subjects:
            encoder = Flipped(subject.encoder) if flip else subject.encoder
            done = run_evaluation(
                used,
                root_of(data),
                encoder,
                ways,
                by,
                tracker(console),
                threads=threads,
                reranking=Reranking() if rerank else None,
            )
            if calibration and not runs:
                try:
                    found = calibrated(used, encoder, done, far or RATES)
                except CalibrationError as error:  # told when the rest is written: the figures took a while
                    refused = error
            runs += done
        measured = [subject.measured for subject, _ in subjects]
        report = make_report(used, measured, runs, _command(), found.buckets if found else ())
        print_report(report, console)
        _write(report, runs, found, json, html)
        if sheet is not None:
            write_sheet(sheet, root_of(data), runs[0], probes=sheet_probes)
        if refused is not None:
            raise CalibrationError(f"no calibration, and nothing put into a bundle: {refused}") from refused
        if into_bundle and bundle is not None:
            update_manifest(bundle, evaluation=report.results, calibration=found.buckets if found else None)
            console.print(f"written into {bundle / MANIFEST_NAME}", highlight=False)


def calibrate(
    data: Data,
    bundle: Annotated[Path, typer.Option(help="an exported bundle")],
    dataset: Kind = None,
    protocol: Protocol = "",
    split: Split = None,
    seed: Seed = 0,
    manifest: ManifestFile = None,
    far: Rates = None,
    provider: ProviderOption = Provider.AUTO,
    precision: PrecisionOption = Precision.AUTO,
    threads: Threads = 2,
    strict_counts: Counts = True,
    html: Html = None,
    into_bundle: Into = True,
) -> None:
    """Score to probability, and thresholds at false-accept rates, per probe height."""
    with clear_errors():
        console = Console()
        used = open_manifest(
            data,
            file=manifest,
            source=dataset,
            protocol=protocol,
            split=split,
            seed=seed,
            strict_counts=strict_counts,
        )
        kind = Source.of(used.dataset)
        subject = bundle_subject(bundle, provider, precision, used)
        by: list[Scorer] = [scorer(_usual_scorers(kind)[0])]
        runs = run_evaluation(
            used,
            root_of(data),
            subject.encoder,
            [Variant.SUPER_RESOLVED, Variant.SHARP],
            by,
            tracker(console),
            threads=threads,
        )
        found = calibrated(used, subject.encoder, runs, far or RATES)
        print_subject(subject.measured, console)
        print_calibration(found.buckets, console)
        report = make_report(used, [subject.measured], runs, _command(), found.buckets)
        _write(report, runs, found, None, html)
        if into_bundle:
            update_manifest(bundle, calibration=found.buckets)
            console.print(f"written into {bundle / MANIFEST_NAME}", highlight=False)


def _usual_variants(source: Source) -> list[Variant]:
    """CAVIAR's probes are never super-resolved (paper, IV-C)."""
    return [Variant.BILINEAR] if source is Source.CAVIAR else [Variant.SUPER_RESOLVED, Variant.BILINEAR]


def _usual_scorers(source: Source) -> list[ScorerName]:
    """What the field reports on it."""
    if source in (Source.MARKET1501, Source.OWN):
        return [ScorerName.MARKET1501]
    if source is Source.CAVIAR:
        return [ScorerName.SINGLE_SHOT, ScorerName.MARKET1501]
    return [ScorerName.SINGLE_SHOT]


def _write(
    report: Report,
    runs: Sequence[Run],
    found: Calibrated | None,
    json: Path | None,
    html: Path | None,
) -> None:
    if json is not None:
        report.save(json)
    if html is not None:
        write_html(
            report,
            html,
            curves=cmc_curves(runs),
            histograms=score_histograms(found.pairs, found.buckets) if found else (),
            reliability=reliability_curve(found.pairs, found.buckets) if found else "",
        )


def _command() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
