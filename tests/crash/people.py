"""What one client of the service under test has done, and the states that its people may be in.

Each client has people of its own and one request at a time, so that at a kill at most one of its changes is in the
balance: it may have happened or not, as a whole.
"""

from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np

from tests.support.pictures import encoded, person

State = dict[str, frozenset[str]]  # identity: sha256 of its pictures


@dataclass(frozen=True)
class Change:
    """`kind`: enrol (`pictures` to `identity`), delete identity, delete image, rename or merge (to `new`)."""

    kind: str
    identity: str
    pictures: tuple[str, ...] = ()
    new: str = ""

    def applied(self, state: State) -> State:
        state = dict(state)
        own = state.pop(self.identity, frozenset())
        if self.kind == "enrol":
            state[self.identity] = own | set(self.pictures)
        elif self.kind == "delete image":
            state[self.identity] = own - set(self.pictures)
        elif self.new:
            state[self.new] = state.get(self.new, frozenset()) | own
        return {identity: pictures for identity, pictures in state.items() if pictures}


@dataclass
class Client:
    number: int
    state: State = field(default_factory=dict)
    begun: Change | None = None  # sent, and not acknowledged
    image_ids: dict[str, str] = field(default_factory=dict)  # of every picture that ever had one
    dead: dict[str, str] = field(default_factory=dict)  # pictures that are gone, and whose they were
    done: Counter[str] = field(default_factory=Counter)  # acknowledged requests by kind
    faults: list[str] = field(default_factory=list)
    seeds: dict[str, int] = field(default_factory=dict)

    @property
    def prefix(self) -> str:
        return f"client {self.number}/"

    def new_picture(self) -> str:
        """A picture that looks like no other; it is known by its sha256, and drawn again when it is needed."""
        seed = self.number * 10**6 + len(self.seeds)
        name = sha256(picture(seed)).hexdigest()
        self.seeds[name] = seed
        return name

    def picture(self, name: str) -> bytes:
        return picture(self.seeds[name])

    def acknowledged(self) -> None:
        assert self.begun is not None
        self.done[self.begun.kind] += 1
        self.done["images enrolled"] += len(self.begun.pictures) if self.begun.kind == "enrol" else 0
        self.settle(self.begun.applied(self.state))

    def settle(self, now: State) -> None:
        """`now` is what there is: nothing is in the balance any more."""
        for identity, pictures in self.state.items():
            for name in pictures - set().union(*now.values()):
                self.dead[name] = identity
        self.state, self.begun = now, None

    @property
    def allowed(self) -> list[State]:
        return [self.state] if self.begun is None else [self.state, self.begun.applied(self.state)]

    def next_change(self, rng: np.random.Generator) -> Change | None:
        """Some people with a handful of pictures each; None: time for a query."""
        identity, other = (f"{self.prefix}{who} ü" for who in rng.permutation(5)[:2])
        alive = sum(map(len, self.state.values()))
        kind = rng.choice(["enrol", "enrol", "delete image", "delete identity", "rename", "query", "query"])
        if kind == "enrol" and alive < 12:
            return Change("enrol", identity, tuple(self.new_picture() for _ in range(rng.integers(1, 4))))
        if kind == "query" or identity not in self.state:
            return None
        if kind == "delete image":
            return Change("delete image", identity, (rng.choice(sorted(self.state[identity])),))
        if kind == "rename":
            return Change("merge" if other in self.state else "rename", identity, new=other)
        return Change("delete identity", identity)


def picture(seed: int) -> bytes:
    return encoded(person(seed))
