"""Filters as masks over the rows of a view: what they leave out is never scored."""

from collections.abc import Callable, Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from index.segment import Mask
from index.store import NO_TIME
from index.types import Filters
from index.validation import microseconds
from index.view import View

Choice = list[Mask | None]  # for each segment; None: every row that it has filled


def choose(view: View, filters: Filters, having_metadata: NDArray[np.int64] | None) -> Choice:
    """`having_metadata`: the ids of the images that pass the metadata filter, ascending; None without one."""
    identities = _identity_table(view, filters)
    cameras = _camera_table(view, filters)
    since, until = _limits(filters.since, filters.until)
    choice: Choice = []
    for segment in view.segments:
        columns, chosen, rows = segment.columns, segment.alive, segment.rows
        if identities is not None:
            chosen = _both(chosen, identities[columns.identities[:rows]])
        if cameras is not None:
            chosen = _both(chosen, cameras[columns.cameras[:rows]])
        if since is not None:
            chosen = _both(chosen, columns.times[:rows] >= since)
        if until is not None:
            chosen = _both(chosen, (columns.times[:rows] < until) & (columns.times[:rows] != NO_TIME))
        if having_metadata is not None:
            listed = np.zeros(rows, np.bool_)
            listed[segment.positions(having_metadata)] = True
            chosen = _both(chosen, listed)
        choice.append(None if chosen is None or chosen.all() else chosen)
    return choice


def excluding(view: View, choice: Choice, identities: NDArray[np.int64]) -> Choice:
    table = np.ones(len(view.identities), np.bool_)
    table[identities] = False
    return [
        _both(chosen, table[segment.columns.identities[: segment.rows]])
        for segment, chosen in zip(view.segments, choice, strict=True)
    ]


def only(view: View, choice: Choice, identities: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """The positions in each segment of the chosen rows of these identities."""
    table = np.zeros(len(view.identities), np.bool_)
    table[identities] = True
    return [
        np.flatnonzero(_both(chosen, table[segment.columns.identities[: segment.rows]]))
        for segment, chosen in zip(view.segments, choice, strict=True)
    ]


def _both(chosen: Mask | None, more: Mask) -> Mask:
    return more if chosen is None else chosen & more


def _identity_table(view: View, filters: Filters) -> Mask | None:
    wanted, prefix = filters.identities, filters.prefix
    if wanted is None and prefix is None:
        return None
    return _table(
        view.identities,
        lambda name: (wanted is None or name in wanted) and (prefix is None or name.startswith(prefix)),
    )


def _camera_table(view: View, filters: Filters) -> Mask | None:
    wanted, unwanted = filters.cameras, filters.exclude_cameras
    if wanted is None and not unwanted:
        return None
    table = _table(view.cameras, lambda name: (wanted is None or name in wanted) and name not in unwanted)
    table[0] = wanted is None  # no camera
    return table


def _table(names: Sequence[str], passes: Callable[[str], bool]) -> Mask:
    return np.fromiter((passes(name) for name in list(names)), np.bool_)


def _limits(since: datetime | None, until: datetime | None) -> tuple[int | None, int | None]:
    # An image without a time has NO_TIME, which is below every `since`.
    return (
        None if since is None else microseconds(since),
        None if until is None else microseconds(until),
    )
