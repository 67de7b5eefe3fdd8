"""Which states a gallery may be seen in while many clients change it, each its own people, one change at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

State = dict[str, frozenset[int]]  # identity: its images, by numbers that the test gives them


class Histories:
    """Every state that each client has brought about, by client and version."""

    def __init__(self, clients: int) -> None:
        self._states: list[list[State]] = [[{}] for _ in range(clients)]
        self._done = [0] * clients  # the last version that was acknowledged
        self._before: list[list[tuple[int, ...]]] = [[tuple(self._done)] for _ in range(clients)]

    @contextmanager
    def change(self, client: int, state: State) -> Iterator[None]:
        """`state` may be seen from now on, and must be seen afterwards."""
        self._before[client].append(tuple(self._done))
        self._states[client].append(state)
        yield
        self._done[client] = len(self._states[client]) - 1

    def state(self, client: int) -> State:
        return dict(self._states[client][-1])

    def acknowledged(self) -> tuple[int, ...]:
        return tuple(self._done)

    def explain(self, found: Sequence[State], since: Sequence[int]) -> list[int] | None:
        """For each client a version that is what was `found` of it; None when there was no such moment.

        No version is older than what was acknowledged when the search began (`since`). Whoever sees a change also
        sees what was acknowledged before that change began: the clients' versions are of one moment.
        """
        fitting = [
            [
                version
                for version in range(since[one], len(self._states[one]))
                if self._states[one][version] == state
            ]
            for one, state in enumerate(found)
        ]
        versions, least = list(since), list(since)
        while True:
            for one, choices in enumerate(fitting):
                later = [version for version in choices if version >= least[one]]
                if not later:
                    return None
                versions[one] = later[0]
            needed = [
                max(column) for column in zip(*map(self._seen, range(len(found)), versions), strict=True)
            ]
            if all(version >= need for version, need in zip(versions, needed, strict=True)):
                return versions
            least = needed

    def _seen(self, client: int, version: int) -> tuple[int, ...]:
        return self._before[client][version]
