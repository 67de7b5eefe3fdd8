"""The rows of the paper's Tables II and III, two they lack (without RCAN, with a light one), and what `plus` adds."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from rich.table import Table

from model.rcan import RCAN
from model.weights import load_dgrl
from training.config import ConfigError, DGRLRecipe, as_json, overlay
from training.data.manifest import Manifest
from training.evaluation.evaluate import Variant, evaluate
from training.evaluation.progress import tracker
from training.evaluation.scorers import ScorerName, scorer
from training.evaluation.torch_encoders import CheckpointEncoder
from training.experiment import run_dgrl
from training.pairs import Data
from training.start import Start
from training.super_resolve import Enlargement, weights_digest

RESULT_NAME = "result.json"
Resolver = Literal["rcan", "light", "bilinear"]
_FULL = (93.9, 98.0, 98.8)


@dataclass(frozen=True, slots=True)
class Ablation:
    """One row: what differs from the base recipe, and Rank-1/5/10 in the paper (None: not in the paper)."""

    name: str
    changes: Mapping[str, Any]
    paper: tuple[float, float, float] | None
    resolver: Resolver = "rcan"
    when_named: bool = False  # left out unless asked for by name


def _losses(**on: float) -> dict[str, Any]:
    return {"losses": {name: 0.0 for name in ("wrt", "shallow", "mutual")} | on}


def _components(non_local: bool, galn: bool, restormer: bool) -> dict[str, Any]:
    return {"model": {"non_local": non_local, "galn": galn, "restormer": restormer}}


def _plus(name: str, changes: Mapping[str, Any]) -> Ablation:
    return Ablation(name, changes, None, when_named=True)


ABLATIONS = {
    row.name: row
    for row in (
        Ablation("full", {}, _FULL),
        Ablation("id", _losses(), (89.9, 96.3, 97.8)),
        Ablation("id-wrt", _losses(wrt=1.0), (92.9, 97.3, 98.6)),
        Ablation("id-wrt-l1", _losses(wrt=1.0, shallow=5.0), (93.2, 97.9, 98.7)),
        Ablation("baseline", _components(False, False, False), (87.0, 94.7, 95.8)),
        Ablation("non-local", _components(True, False, False), (87.5, 95.0, 96.8)),
        Ablation("non-local-galn", _components(True, True, False), (93.3, 98.0, 98.7)),
        Ablation("bilinear", {}, None, "bilinear"),
        Ablation("light-rcan", {}, None, "light"),
        _plus("ema", {"ema": 0.999}),
        _plus("erasing", {"augment": {"erasing": 0.5}}),
        _plus("cosine", {"optimiser": {"schedule": "cosine"}}),
        _plus("longer", {"epochs": 120.0, "optimiser": {"milestones": [51.5, 103.0]}}),  # 30 and 60 of 70
    )
}
"""Table II is id, id-wrt, id-wrt-l1, full; Table III is baseline, non-local, non-local-galn, full.

The last four are the switches of `recipes/plus.toml`, each alone over the base recipe: compare with `full`.
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all rows share."""

    base: DGRLRecipe
    data: Data
    resolvers: Mapping[Resolver, RCAN]
    files: Mapping[Resolver, Path]  # that they come from
    folder: Path
    device: torch.device
    force: bool = False  # train even where memory or disk does not seem to suffice


def run_ablation(row: Ablation, bench: Bench, start: Callable[[], Start]) -> list[dict[str, Any]]:
    """Train and evaluate one row, or read its finished result; a row that was cut off goes on.

    Raises ConfigError where the result is of something else.
    """
    folder = bench.folder / row.name
    result = folder / RESULT_NAME
    recipe = ablated(bench.base, row)
    network = None if row.resolver == "bilinear" else bench.resolvers[row.resolver]
    of = _of(recipe, bench.data.manifest, network)
    if result.is_file():
        return _finished(result, of)
    enlarge: Enlargement = network or "bilinear"
    made_by = bench.files.get(row.resolver)
    weights = run_dgrl(recipe, bench.data, start(), enlarge, made_by, folder, bench.device, force=bench.force)
    resolvers = {} if network is None else {scale: network for scale in network.config.scales}
    encoder = CheckpointEncoder(
        load_dgrl(weights).embedder,
        resolvers,
        hr_reference=recipe.hr_reference,
        device=bench.device,
        precision=recipe.precision,
    )
    variant = Variant.BILINEAR if network is None else Variant.SUPER_RESOLVED
    by = [scorer(ScorerName.MARKET1501), scorer(ScorerName.SINGLE_SHOT, seed=recipe.seed)]
    [run] = evaluate(bench.data.manifest, bench.data.root, encoder, [variant], by, tracker(Console()))
    found = [one.result.model_dump() for ranked in run.ranked for one in ranked.rows]
    figures = [{**one, "row": row.name, **of} for one in found]
    result.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return figures


def ablated(base: DGRLRecipe, row: Ablation) -> DGRLRecipe:
    """The base recipe with the row's changes, under its name."""
    return replace(overlay(base, row.changes, row.name), name=f"{base.name}, {row.name}")


def comparison(results: Mapping[str, list[dict[str, Any]]], scored_by: str) -> Table:
    """Rows under one scorer, beside the paper's figures where it is the paper's: single-shot (section IV-B)."""
    table = Table("row", "subset", "Rank-1", "Rank-5", "Rank-10", "mAP", title=scored_by)
    same = scored_by.startswith(ScorerName.SINGLE_SHOT)
    for heading in ("paper: Rank-1", "5", "10") if same else ():
        table.add_column(heading)
    for name, rows in results.items():
        for found in (row for row in rows if row["scorer"] == scored_by):
            paper = ABLATIONS[name].paper if same and found["subset"] == "all" else None
            cells = [f"{found[key]:.1f}" for key in ("rank1", "rank5", "rank10", "map")]
            table.add_row(name, found["subset"], *cells, *(f"{figure:.1f}" for figure in paper or ()))
    return table


def _of(recipe: DGRLRecipe, manifest: Manifest, network: RCAN | None) -> dict[str, Any]:
    """What a row's figures are figures of, in digests of 16 digits."""
    text = json.dumps(as_json(recipe), sort_keys=True)
    return {
        "manifest": manifest.digest[:16],
        "recipe": hashlib.sha256(text.encode()).hexdigest()[:16],
        "rcan": None if network is None else weights_digest(network)[:16],
    }


def _finished(result: Path, of: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Results from before the recipe was noted count as of this one."""
    rows: list[dict[str, Any]] = json.loads(result.read_text(encoding="utf-8"))
    if different := sorted(
        {name for row in rows for name, value in of.items() if row.get(name, value) != value}
    ):
        raise ConfigError(
            f"{result}: is of another {' and '.join(different)}; choose another folder (--out), or delete that of "
            "the row to train it again"
        )
    return rows
