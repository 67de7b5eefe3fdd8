"""One image of a dataset, and a dataset as an ordered list of them. Every loader returns these."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

Split = Literal["train", "probe", "gallery"]

JUNK = -1  # a detection that shows no person well: never a match and never a mistake
DISTRACTOR = 0  # an identity that no probe shows: always a mistake


class DatasetError(ValueError):
    """A dataset on disk is not what it should be; the message names the folder or file."""


@dataclass(frozen=True, slots=True)
class Record:
    path: str  # relative to the dataset's root, with forward slashes
    identity: int
    camera: int
    split: Split


@dataclass(frozen=True)
class Dataset:
    name: str  # "Market-1501"
    root: Path
    records: tuple[Record, ...]
    low_camera: int | None = None  # a camera whose images are natively low: nothing is made low to train on

    @cached_property
    def train(self) -> tuple[Record, ...]:
        return self._of("train")

    @cached_property
    def probes(self) -> tuple[Record, ...]:
        return self._of("probe")

    @cached_property
    def gallery(self) -> tuple[Record, ...]:
        return self._of("gallery")

    def _of(self, split: Split) -> tuple[Record, ...]:
        return tuple(record for record in self.records if record.split == split)
