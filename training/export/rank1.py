"""Rank-1 of a runtime on Market-1501's probes made low, as the gate compares it between precisions."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from model.bundle.runtime import Runtime
from training.data.manifest import build_manifest
from training.data.market1501 import load_market1501
from training.evaluation.embed import Advance
from training.evaluation.encoders import BundleEncoder
from training.evaluation.evaluate import Tracker, Variant, evaluate
from training.evaluation.scorers import Market1501
from training.export.bundle import Rank1


def market1501_rank1(root: Path, *, seed: int = 0, tracker: Tracker | None = None) -> Rank1:
    """A function of a runtime: percent of the 3,368 probes, protocol `all`. Raises DatasetError at once."""
    manifest = build_manifest(load_market1501(root), "all", seed)

    def rank1(runtime: Runtime) -> float:
        runs = evaluate(
            manifest,
            root,
            BundleEncoder(runtime),
            [Variant.SUPER_RESOLVED],
            [Market1501()],
            tracker or _untracked,
        )
        return next(row.result.rank1 for row in runs[0].ranked[0].rows if row.result.subset == "all")

    return rank1


def _untracked(what: str, images: int) -> AbstractContextManager[Advance]:
    return nullcontext(lambda done: None)
