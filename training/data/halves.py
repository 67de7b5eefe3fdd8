"""Random splits of a set's identities into train and test, repeatable by number."""

from collections.abc import Iterable

import numpy as np

from training.data.records import Record, Split


def random_half(identities: Iterable[int], split: int) -> set[int]:
    """The test identities of split 0, 1, 2, ...: half of them, rounded down."""
    ordered = sorted(set(identities))
    order = np.random.default_rng(split).permutation(len(ordered))
    return {ordered[place] for place in order[: len(ordered) // 2]}


def split_by_identity(records: Iterable[Record], test: set[int], *, probe_camera: int) -> tuple[Record, ...]:
    """Of the test identities, `probe_camera` gives the probes and the other cameras the gallery."""

    def side(record: Record) -> Split:
        if record.identity not in test:
            return "train"
        return "probe" if record.camera == probe_camera else "gallery"

    return tuple(Record(r.path, r.identity, r.camera, side(r)) for r in records)
