"""The best RCAN of a run by PSNR on validation images: its weights and, beside them, which step it was."""

import dataclasses
import json
import logging
import os
from pathlib import Path
from typing import Any

from model.rcan import RCAN
from model.weights import save_weights
from training.super_resolution_quality import Quality

log = logging.getLogger("training")

BEST_NAME = "best.json"


class Best:
    """Keeps the weights in `folder / weights_name` and step and quality in `best.json`.

    `fresh` forgets what an earlier run left there. A run that goes on measures again what came after its checkpoint,
    with the same result.
    """

    def __init__(self, folder: Path, weights_name: str, *, fresh: bool) -> None:
        self._weights, self._described = folder / weights_name, folder / BEST_NAME
        if fresh:
            self._described.unlink(missing_ok=True)

    def offer(self, step: int, network: RCAN, quality: dict[int, Quality]) -> None:
        """Keep `network` after `step` steps if its mean PSNR over the scales is the highest yet."""
        found, before = mean_psnr(quality), self._psnr()
        better = before is None or found > before
        log.info("step %d  validation PSNR %.3f dB%s", step, found, ", the best yet" if better else "")
        if better:
            save_weights(self._weights, network)
            self._write(
                {"step": step, "psnr": found, "quality": {s: dataclasses.asdict(quality[s]) for s in quality}}
            )

    def step(self) -> int:
        """After how many steps the weights that are kept were measured."""
        return int(self._kept()["step"])

    def _psnr(self) -> float | None:
        if not self._described.is_file():
            return None
        return float(self._kept()["psnr"])

    def _kept(self) -> dict[str, Any]:
        kept: dict[str, Any] = json.loads(self._described.read_text(encoding="utf-8"))
        return kept

    def _write(self, kept: dict[str, object]) -> None:
        temporary = self._described.with_name(BEST_NAME + ".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(kept, file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._described)


def mean_psnr(quality: dict[int, Quality]) -> float:
    """Over the scales, in dB."""
    return sum(figures.psnr for figures in quality.values()) / len(quality)
