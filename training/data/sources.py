"""The datasets by name, for the command line."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

from training.data.caviar import load_caviar
from training.data.cuhk03 import load_cuhk03
from training.data.cuhk03_p1 import load_cuhk03_p1
from training.data.market1501 import load_market1501
from training.data.own import load_own
from training.data.records import Dataset
from training.data.viper import load_viper


class Source(StrEnum):
    MARKET1501 = "market1501"
    CUHK03 = "cuhk03"
    CUHK03_DETECTED = "cuhk03-detected"
    CUHK03_P1 = "cuhk03-p1"
    VIPER = "viper"
    CAVIAR = "caviar"
    OWN = "own"

    @property
    def protocol(self) -> str:
        """The protocol where none is asked for: CAVIAR and one's own images are as low as they come."""
        return "native" if self in (Source.CAVIAR, Source.OWN) else "all"

    @classmethod
    def of(cls, dataset: str) -> "Source":
        """Which one a manifest's data set is; a name that no loader gives is somebody's own set."""
        return next((kind for start, kind in _NAMES.items() if dataset.startswith(start)), cls.OWN)


_NAMES = {
    "Market-1501": Source.MARKET1501,
    "CUHK03 (labeled": Source.CUHK03,
    "CUHK03 (detected": Source.CUHK03_DETECTED,
    "CUHK03-P1": Source.CUHK03_P1,
    "VIPeR (": Source.VIPER,
    "CAVIAR (": Source.CAVIAR,
}


def load_dataset(
    source: Source, root: Path, *, split: int | None = None, strict_counts: bool = True
) -> Dataset:
    """`split` counts the official or random splits of the sets that have several; where none is named, the first.

    One's own set is split at random only where a number is given.
    """
    number = split or 0
    loaders: dict[Source, Callable[[], Dataset]] = {
        Source.MARKET1501: lambda: load_market1501(root, strict_counts=strict_counts),
        Source.CUHK03: lambda: load_cuhk03(root, split=number, strict_counts=strict_counts),
        Source.CUHK03_DETECTED: lambda: load_cuhk03(
            root, boxes="detected", split=number, strict_counts=strict_counts
        ),
        Source.CUHK03_P1: lambda: load_cuhk03_p1(root, strict_counts=strict_counts),
        Source.VIPER: lambda: load_viper(root, split=number, strict_counts=strict_counts),
        Source.CAVIAR: lambda: load_caviar(root, split=number, strict_counts=strict_counts),
        Source.OWN: lambda: load_own(root, split),
    }
    return loaders[source]()
