"""Run an encoder over a manifest: the gallery once, the probes in each variant, ranked by each scorer."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.bundle.manifest import EvaluationResult
from training.data.manifest import NATIVE, Entry, Manifest
from training.data.records import JUNK, DatasetError
from training.evaluation.embed import Advance, Embedded, embed
from training.evaluation.encoders import HIGH_RESOLUTION, LOW_RESOLUTION, Encoder, Way
from training.evaluation.outcome import Figures, Outcome, summarise
from training.evaluation.rerank import Reranking, reranked
from training.evaluation.scorers import Scorer, ScoreRows, inner_products

Tracker = Callable[[str, int], AbstractContextManager[Advance]]
"""Opens a progress bar: (what, how many images) to a function that counts images."""


class Variant(StrEnum):
    """How the probes reach the encoder. The gallery always takes the HR stem, as it is."""

    SUPER_RESOLVED = "super-resolved"
    BILINEAR = "bilinear"  # plain upscaling in place of RCAN, then the SR stem
    SHARP = "sharp"  # the probes before they were made low, through the HR stem: the ceiling


@dataclass(frozen=True)
class Row:
    """One line of a report; `deviation` is that of the draws of single_shot."""

    result: EvaluationResult
    without_match: int
    deviation: Figures | None


@dataclass(frozen=True)
class Ranked:
    """One variant under one scorer."""

    variant: str
    scorer: str
    outcome: Outcome
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Run:
    """One variant's probes against the gallery."""

    variant: Variant
    label: str
    probes: Embedded
    gallery: Embedded
    ranked: tuple[Ranked, ...]
    seconds: float  # to embed the probes


def evaluate(
    manifest: Manifest,
    root: Path,
    encoder: Encoder,
    variants: Sequence[Variant],
    scorers: Sequence[Scorer],
    tracker: Tracker,
    *,
    threads: int = 2,
    reranking: Reranking | None = None,
) -> list[Run]:
    """Raises DatasetError where the manifest has no probes or no gallery, or a file is damaged."""
    probes = manifest.of("probe")
    gallery = tuple(entry for entry in manifest.of("gallery") if entry.identity != JUNK)
    for side, entries in (("probes", probes), ("gallery images", gallery)):
        if not entries:
            raise DatasetError(f"{manifest.name}: the manifest has no {side}")
    with tracker(f"gallery, {encoder.name}", len(gallery)) as advance:
        ground = embed(
            root, gallery, encoder, lambda height: HIGH_RESOLUTION, threads=threads, advance=advance
        )
    runs = []
    for variant in variants:
        label = labelled(encoder, variant)
        started = time.perf_counter()
        with tracker(f"probes, {label}", len(probes)) as advance:
            embedded = _embed_probes(root, probes, encoder, variant, threads, advance)
        seconds = time.perf_counter() - started
        ranked: tuple[Ranked, ...] = ()
        if scorers:
            scores = _scores(embedded, ground, reranking)
            shown = label if reranking is None else f"{label}, re-ranked"
            ranked = tuple(rank(manifest, shown, embedded, ground, by, scores) for by in scorers)
        runs.append(Run(variant, label, embedded, ground, ranked, seconds))
    return runs


def _scores(probes: Embedded, gallery: Embedded, reranking: Reranking | None) -> ScoreRows:
    if reranking is None:
        return inner_products(probes.vectors, gallery.vectors)
    return reranked(probes.vectors, gallery.vectors, reranking)


def rank(
    manifest: Manifest, label: str, probes: Embedded, gallery: Embedded, by: Scorer, scores: ScoreRows
) -> Ranked:
    """Figures overall, and per r (or per native height where no probe was made low)."""
    outcome = by(scores, probes.labels, gallery.labels)
    rows = []
    for subset, members in {"all": np.ones(len(probes.heights), bool), **subsets(probes)}.items():
        if not (outcome.first_match[:, members].any()):
            if subset == "all":
                raise DatasetError(f"{manifest.name}: no probe has a match by another camera in the gallery")
            continue
        summary = summarise(outcome, members)
        figures = {name: value for name, value in vars(summary.mean).items() if name != "without_match"}
        result = EvaluationResult(
            protocol=manifest.name,
            manifest=manifest.digest[:16],
            scorer=by.name,
            variant=label,
            subset=subset,
            **figures,
        )
        rows.append(Row(result, summary.mean.without_match, summary.deviation))
    return Ranked(label, by.name, outcome, tuple(rows))


def subsets(probes: Embedded) -> dict[str, NDArray[np.bool_]]:
    low = np.unique(probes.factors[probes.factors != NATIVE])
    if len(low):
        return {f"r={r}": probes.factors == r for r in low}
    octaves = np.floor(np.log2(probes.heights))
    return {
        f"height {int(2**octave)}-{int(2 ** (octave + 1)) - 1}": octaves == octave
        for octave in np.unique(octaves)
    }


def labelled(encoder: Encoder, variant: Variant) -> str:
    """The bundle as it is served is "bundle"; what is changed is said."""
    if variant is Variant.SUPER_RESOLVED:
        return encoder.name
    changed = "bilinear instead of RCAN" if variant is Variant.BILINEAR else "sharp probes"
    return f"{encoder.name}, {changed}"


def _embed_probes(
    root: Path, probes: Sequence[Entry], encoder: Encoder, variant: Variant, threads: int, advance: Advance
) -> Embedded:
    """`factors` tell the manifest's r even of sharp probes, so that subsets hold the same probes."""
    ways: dict[Variant, Way] = {
        Variant.SUPER_RESOLVED: lambda height: encoder.route(height, "auto"),
        Variant.BILINEAR: lambda height: LOW_RESOLUTION,
        Variant.SHARP: lambda height: HIGH_RESOLUTION,
    }
    factors = [NATIVE if variant is Variant.SHARP else entry.r for entry in probes]
    embedded = embed(root, probes, encoder, ways[variant], factors=factors, threads=threads, advance=advance)
    return replace(embedded, factors=np.array([entry.r for entry in probes], np.int64))
