"""What a ranking says about each probe, and the figures that follow for any subset of the probes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NO_MATCH = 0


@dataclass(frozen=True)
class Outcome:
    """Arrays of (draws of the gallery, probes). A probe without a match in the gallery is not scored."""

    first_match: NDArray[np.int64]  # the 1-based rank of the first correct image, or NO_MATCH
    average_precision: NDArray[np.float64]
    inverse_penalty: NDArray[np.float64]  # matches / rank of the last match: the INP of mINP


@dataclass(frozen=True)
class Figures:
    """In percent. `probes` were scored; `without_match` were not."""

    probes: int
    without_match: int
    rank1: float
    rank5: float
    rank10: float
    map: float
    minp: float


@dataclass(frozen=True)
class Summary:
    """Mean over the draws, and the standard deviation (n-1) of a draw; None for a single draw."""

    mean: Figures
    deviation: Figures | None


def summarise(outcome: Outcome, subset: NDArray[np.bool_] | None = None) -> Summary:
    """Raises ValueError where no probe of the subset has a match."""
    columns = np.ones(outcome.first_match.shape[1], bool) if subset is None else subset
    scored = columns & (outcome.first_match != NO_MATCH).all(axis=0)
    probes, without = int(scored.sum()), int(columns.sum() - scored.sum())
    if not probes:
        raise ValueError(f"none of the {without} probes has a match in the gallery")
    first = outcome.first_match[:, scored]
    per_draw = 100 * np.stack(  # (5, draws)
        [
            *((first <= rank).mean(axis=1) for rank in (1, 5, 10)),
            outcome.average_precision[:, scored].mean(axis=1),
            outcome.inverse_penalty[:, scored].mean(axis=1),
        ]
    )

    def figures(values: NDArray[np.float64]) -> Figures:
        return Figures(probes, without, *map(float, values))

    deviation = figures(per_draw.std(axis=1, ddof=1)) if per_draw.shape[1] > 1 else None
    return Summary(figures(per_draw.mean(axis=1)), deviation)


def cmc(outcome: Outcome, ranks: int, subset: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """The share of scored probes with a match within rank 1, 2, ..., `ranks`, in percent."""
    first = outcome.first_match if subset is None else outcome.first_match[:, subset]
    first = first[first != NO_MATCH]
    return np.array([100 * (first <= rank).mean() for rank in range(1, ranks + 1)])
