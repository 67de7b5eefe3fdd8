"""One state of the gallery in memory. A change makes the next View; those who hold this one go on with it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from index.segment import SEGMENT_ROWS, Segment
from index.store import Moved, Names, Rows


@dataclass(frozen=True, slots=True)
class Space:
    """The vectors of one bundle, in a table of their own; one space at a time is active, and searched."""

    id: int
    bundle_id: str
    dimension: int


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """`identities` and `cameras` are names by row id. They may grow behind what this view refers to."""

    space: Space
    segments: tuple[Segment, ...]
    identities: list[str]
    cameras: list[str]
    generation: int

    @classmethod
    def empty(cls, space: Space) -> Self:
        return cls(space, (), [""], [""], 0)

    @classmethod
    def of(cls, space: Space, segments: tuple[Segment, ...]) -> Self:
        return replace(cls.empty(space), segments=segments)

    @property
    def images(self) -> int:
        return sum(segment.living for segment in self.segments)

    def appended(self, rows: Rows, names: Names, generation: int) -> Self:
        _name(self.identities, names.identities)
        _name(self.cameras, names.cameras)
        segments = list(self.segments)
        start, end = 0, len(rows.ids)
        while start < end:
            if not segments or segments[-1].rows == segments[-1].capacity:
                segments.append(Segment.empty(self.space.dimension, SEGMENT_ROWS))
            stop = min(end, start + segments[-1].capacity - segments[-1].rows)
            segments[-1] = segments[-1].append(rows, start, stop)
            start = stop
        return replace(self, segments=tuple(segments), generation=generation)

    def without(self, images: list[int], identity: int | None, generation: int) -> Self:
        """`identity`: it has no images left, and its name is forgotten."""
        ids = np.array(images, np.int64)
        segments = _compacted([segment.without(ids) for segment in self.segments], self.space.dimension)
        names = self.identities if identity is None else _renamed(self.identities, identity, "")
        return replace(self, segments=segments, identities=names, generation=generation)

    def renamed(self, moved: Moved, new: str, generation: int) -> Self:
        if moved.merged_into is None:
            names = _renamed(self.identities, moved.source, new)
            return replace(self, identities=names, generation=generation)
        ids = np.array(moved.images, np.int64)
        segments = tuple(segment.reassigned(ids, moved.merged_into) for segment in self.segments)
        merged = replace(self, segments=segments)
        return merged.without(moved.dropped, moved.source, generation)


def _name(names: list[str], new: dict[int, str]) -> None:
    """In place: nobody refers to a new row id yet. A slot may hold a name of a rolled-back change."""
    for row_id, name in new.items():
        names.extend([""] * (row_id + 1 - len(names)))
        names[row_id] = name


def _renamed(names: list[str], row_id: int, name: str) -> list[str]:
    copy = names.copy()
    copy[row_id] = name
    return copy


def _compacted(segments: list[Segment], dimension: int) -> tuple[Segment, ...]:
    """Give back the memory of segments of which half is deleted, except the one that is being filled."""
    kept: list[Segment] = []
    for segment in segments:
        living = segment.living
        if segment.rows < segment.capacity or living > segment.rows // 2:
            kept.append(segment)
        elif living:
            into = kept.pop() if kept and _fits(kept[-1], living) else None
            kept.append(_gathered([part for part in (into, segment) if part], dimension))
    return tuple(kept)


def _fits(segment: Segment, more: int) -> bool:
    return segment.rows == segment.capacity < SEGMENT_ROWS and segment.living + more <= SEGMENT_ROWS


def _gathered(parts: list[Segment], dimension: int) -> Segment:
    """The living rows of `parts` in one full segment."""
    result = Segment.empty(dimension, sum(part.living for part in parts))
    for part in parts:
        rows = _take(part.columns, np.flatnonzero(part.mask()))
        result = result.append(rows, 0, len(rows.ids))
    return result


def _take(columns: Rows, positions: NDArray[np.intp]) -> Rows:
    return Rows(*(getattr(columns, name)[positions] for name in Rows.__slots__))


def living_rows(view: View) -> Iterator[Rows]:
    """All images of a view, segment by segment, in ascending order of id."""
    for segment in view.segments:
        yield _take(segment.columns, np.flatnonzero(segment.mask()))
