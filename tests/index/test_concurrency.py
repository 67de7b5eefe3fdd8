"""64 clients search and change at once: each answer is of a state that existed between its call and its return."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from index import Enrolment, Filters, Gallery
from tests.index.conftest import Opener
from tests.index.histories import Histories, State
from tests.index.people import unit

CLIENTS, IMAGES, DIMENSION = 64, 8, 16
SEED, CLOSE = 31, 5e-7  # of a score; with this seed no two images score as close as that


class Clients:
    """Each has two people, whose images come, change hands and go; `scores` are those of all images, (probes, N)."""

    def __init__(self, gallery: Gallery) -> None:
        rng = np.random.default_rng(SEED)
        self.gallery, self.histories = gallery, Histories(CLIENTS)
        self.vectors = unit(rng, CLIENTS * IMAGES, DIMENSION)
        self.probes = unit(rng, 4, DIMENSION)
        self.scores = self.probes.astype(np.float64) @ self.vectors.astype(np.float16).astype(np.float64).T
        assert np.diff(np.sort(self.scores)).min() > 10 * CLOSE  # an image is known by its score

    def work(self, client: int, steps: int) -> None:
        rng = np.random.default_rng([client, steps])
        for _ in range(steps):
            self.search(int(rng.integers(len(self.probes))))
            self.change(client, rng)

    def change(self, client: int, rng: np.random.Generator) -> None:
        state = self.histories.state(client)
        person, other = (f"c{client} p{number}" for number in rng.permutation(2))
        free = set(range(client * IMAGES, (client + 1) * IMAGES)) - set().union(*state.values())
        own = state.pop(person, frozenset())
        call: Callable[[], object]
        if (len(own) < 2 or rng.random() < 0.3) and len(free) >= 3:
            images = sorted(free)[:3]
            state[person] = own | set(images)
            call = partial(self.enrol, person, images)
        elif rng.random() < 0.4:
            call = partial(self.gallery.remove_identity, person)
        elif rng.random() < 0.5 and len(own) > 1:
            image = min(own)
            state[person] = own - {image}
            call = partial(self.remove_image, person, image)
        elif own:
            state[other] = state.get(other, frozenset()) | own
            call = partial(self.gallery.rename, person, other)
        else:
            return
        with self.histories.change(client, state):
            call()

    def enrol(self, person: str, images: list[int]) -> None:
        self.gallery.add([Enrolment(person, self.vectors[image], str(image)) for image in images])

    def remove_image(self, person: str, image: int) -> None:
        listed = self.gallery.images(person).items
        [image_id] = [record.image_id for record in listed if record.content_hash == str(image)]
        assert self.gallery.remove_image(person, image_id)

    def search(self, probe: int) -> None:
        since = self.histories.acknowledged()
        [matches] = self.gallery.search(
            self.probes[probe : probe + 1], 2 * CLIENTS, supports=CLIENTS * IMAGES
        )
        found: list[State] = [{} for _ in range(CLIENTS)]
        for match in matches:
            images = [self._image(probe, support.score) for support in match.images]
            assert match.score == match.images[0].score
            assert images == sorted(images, key=lambda image: -self.scores[probe, image])
            found[int(match.identity[1:].split()[0])][match.identity] = frozenset(images)
        best = [self.scores[probe, list(images)].max() for state in found for images in state.values()]
        assert np.allclose([match.score for match in matches], sorted(best, reverse=True), atol=CLOSE)
        assert self.histories.explain(found, since) is not None, (found, since)

    def _image(self, probe: int, score: float) -> int:
        """Which image it was; no two have the same score."""
        image = int(np.abs(self.scores[probe] - score).argmin())
        assert abs(self.scores[probe, image] - score) < CLOSE
        return image


@pytest.mark.parametrize("steps", [4, pytest.param(200, marks=pytest.mark.long)])
def test_every_search_sees_one_state(open_it: Opener, small_segments: None, steps: int) -> None:
    clients = Clients(open_it(DIMENSION, threads=2))
    with ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(clients.work, client, steps) for client in range(CLIENTS)]:
            done.result()
    for probe in range(len(clients.probes)):
        clients.search(probe)
    clients.gallery.check()


def test_the_oracle_notices(open_it: Opener) -> None:
    """Half an enrolment, a state that is over, one that was never there, and two that were never there together."""
    histories = Histories(2)
    with histories.change(0, {"a": frozenset({1, 2})}):
        half, whole, none = {"a": frozenset({1})}, {"a": frozenset({1, 2})}, dict[str, frozenset[int]]()
        assert histories.explain([none, none], (0, 0)) == [0, 0]
        assert histories.explain([whole, none], (0, 0)) == [1, 0]
        assert histories.explain([half, none], (0, 0)) is None
    assert histories.explain([none, none], histories.acknowledged()) is None
    with histories.change(1, {"b": frozenset({3})}):
        assert histories.explain([none, {"b": frozenset({3})}], (0, 0)) is None  # b came after a
        assert histories.explain([whole, {"b": frozenset({3})}], (0, 0)) == [1, 1]
    with histories.change(0, none):
        pass
    assert histories.explain([none, {"b": frozenset({3})}], (0, 0)) == [2, 1]


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
