"""64 clients of the service search and change at once: each answer is of a state that existed meanwhile."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.index.histories import Histories, State
from tests.support.live import Live, serving, tiny_settings
from tests.support.pictures import encoded, person

CLIENTS = 64


class Clients:
    """Each has a person under one of two names, with three pictures or none."""

    def __init__(self, live: Live) -> None:
        self.live, self.histories = live, Histories(CLIENTS)
        self.probe = encoded(person(10**6))

    def work(self, number: int, steps: int) -> None:
        rng = np.random.default_rng([number, steps])
        with httpx.Client(base_url=self.live.url, timeout=120, verify=False) as client:
            for _ in range(steps):
                self.change(client, number, rng)
                self.search(client)

    def change(self, client: httpx.Client, number: int, rng: np.random.Generator) -> None:
        names = [f"c{number}-{name}" for name in "ab"]
        state = self.histories.state(number)
        if not state:
            pictures = [("images", encoded(person(number, variant=n))) for n in range(3)]
            with self.histories.change(number, {names[0]: frozenset(range(3))}):
                answer = client.post("/gallery", files=pictures, data={"identity": names[0]})
        elif rng.random() < 0.5:
            with self.histories.change(number, {}):
                answer = client.delete(f"/gallery/{next(iter(state))}")
        else:
            [[old, images]] = state.items()
            new = names[old == names[0]]
            with self.histories.change(number, {new: images}):
                answer = client.patch(f"/gallery/{old}", json={"identity": new})
        answer.raise_for_status()

    def search(self, client: httpx.Client) -> None:
        since = self.histories.acknowledged()
        answer = client.post("/query", files={"images": self.probe}, data={"top_k": 2 * CLIENTS})
        matches = answer.raise_for_status().json()["matches"]
        found: list[State] = [{} for _ in range(CLIENTS)]
        for match in matches:
            found[int(match["identity"][1:-2])][match["identity"]] = frozenset(range(len(match["images"])))
        assert self.histories.explain(found, since) is not None, (found, since)
        scores = [match["score"] for match in matches]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize("steps", [2, pytest.param(20, marks=pytest.mark.long)])
def test_every_query_sees_one_state(tiny_bundle: Path, tmp_path: Path, steps: int) -> None:
    with serving(tiny_settings(tiny_bundle, tmp_path)) as live:
        clients = Clients(live)
        with ThreadPoolExecutor(CLIENTS) as pool:
            for done in [pool.submit(clients.work, number, steps) for number in range(CLIENTS)]:
                done.result()
        with live.client() as client:
            clients.search(client)
            assert client.get("/readyz").status_code == 200
