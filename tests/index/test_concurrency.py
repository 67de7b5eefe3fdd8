"""Searches beside writers: each answer is that of a state that existed between its call and its return."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from index import Enrolment, Filters, Gallery
from index.types import Vectors
from tests.index.conftest import Opener
from tests.index.people import unit

PEOPLE, IMAGES, DIMENSION, TOP_K = 12, 6, 16, 5
Ranking = list[tuple[str, int]]


class History:
    """Every state that the gallery has been in, as the identities with their vectors."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors  # (PEOPLE, IMAGES, DIMENSION)
        self.states: list[dict[str, frozenset[tuple[int, int]]]] = [{}]

    def ranking(self, state: int, probe: Vectors) -> Ranking:
        """Identities with their number of images, best first."""
        scored = []
        for name, images in self.states[state].items():
            rows = np.array([self.vectors[image] for image in sorted(images)]).astype(np.float16)
            scored.append((-(rows.astype(np.float64) @ probe).max(), name, len(images)))
        return [(name, images) for _, name, images in sorted(scored)[:TOP_K]]


def write(gallery: Gallery, history: History, changes: int, seed: int) -> None:
    """Whole people come, change their name, merge and go; nobody is ever there in part."""
    rng = np.random.default_rng(seed)
    for _ in range(changes):
        state = dict(history.states[-1])
        person, other = (f"p{number}" for number in rng.permutation(PEOPLE)[:2])
        number = int(person[1:])
        images = [(number, image) for image in range(IMAGES)]
        call: Callable[[], object]
        if person not in state and not any(set(images) & own for own in state.values()):
            items = [
                Enrolment(person, history.vectors[image], str(image), camera=f"c{number % 2}")
                for image in images
            ]
            state[person] = frozenset(images)
            call = partial(gallery.add, items)
        elif person in state and rng.random() < 0.5:
            del state[person]
            call = partial(gallery.remove_identity, person)
        elif person in state:
            state[other] = state.get(other, frozenset()) | state.pop(person)
            call = partial(gallery.rename, person, other)
        else:
            continue
        history.states.append(state)  # before the call: it may be seen from now on
        call()
        history.done = len(history.states) - 1


@pytest.mark.parametrize(("readers", "changes"), [(8, 60), pytest.param(64, 1500, marks=pytest.mark.long)])
def test_no_search_sees_half_a_change(
    open_it: Opener, small_segments: None, readers: int, changes: int
) -> None:
    rng = np.random.default_rng(0)
    probes = unit(rng, 8, DIMENSION)
    history = History(unit(rng, PEOPLE * IMAGES, DIMENSION).reshape(PEOPLE, IMAGES, DIMENSION))
    gallery = open_it(DIMENSION, threads=2)
    stop = threading.Event()

    def read(number: int) -> int:
        searches = 0
        while not stop.is_set() or searches < 10:
            probe = probes[(number + searches) % len(probes)]
            first = history.done
            matches = gallery.search(probe[None], TOP_K, supports=PEOPLE * IMAGES)[0]
            last = len(history.states) - 1
            found = [(match.identity, len(match.images)) for match in matches]
            assert any(found == history.ranking(state, probe) for state in range(first, last + 1)), found
            searches += 1
        return searches

    history.done = 0
    with ThreadPoolExecutor(readers) as pool:
        running = [pool.submit(read, number) for number in range(readers)]
        try:
            write(gallery, history, changes, seed=1)
        finally:
            stop.set()
        assert sum(future.result() for future in running) >= 10 * readers
    gallery.check()


def test_writers_do_not_disturb_each_other(open_it: Opener, small_segments: None) -> None:
    gallery = open_it(DIMENSION)
    vectors = unit(np.random.default_rng(0), 8 * 20, DIMENSION).reshape(8, 20, DIMENSION)

    def enrol(number: int) -> None:
        for row, vector in enumerate(vectors[number]):
            gallery.add([Enrolment(f"p{number}", vector, str(row))])
        gallery.remove_identity(f"p{number}")
        for row, vector in enumerate(vectors[number]):
            gallery.add([Enrolment(f"p{number}", vector, str(row), metadata={"writer": number})])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(enrol, range(8)))
    gallery.check()
    assert gallery.count().images == 8 * 20
    for number in range(8):
        mine = Filters(metadata={"writer": number})
        for matches in gallery.search(vectors[number], 3, filters=mine):
            assert [match.identity for match in matches] == [f"p{number}"]
            assert matches[0].score > 0.999
