"""`kill -9` of the service while clients change and search the gallery, while it starts, and while it ends.

After each restart: no acknowledged image is lost, no deleted one is listed, found or downloadable, each image's own
picture finds its current person, and what was not answered has happened as a whole or not at all.
"""

import random
import sqlite3
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.crash.people import Change, Client
from tests.crash.service import forked
from tests.crash.traffic import change, connected, work_until_killed
from tests.crash.verification import verify
from tests.support.process import ServerProcess
from tests.support.zygote import Zygote

CLIENTS = 4


def kill_at_work(process: ServerProcess, clients: list[Client], seed: int, moments: random.Random) -> None:
    """In one of ten rounds it is asked to end first, and killed while it writes its snapshot, or soon after."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        working = [pool.submit(work_until_killed, process.url, client, seed) for client in clients]
        time.sleep(moments.uniform(0.0, 0.6))
        if moments.random() < 0.1:
            process.terminate()
            time.sleep(moments.uniform(0.0, 0.1))
        process.kill()
    for done in working:
        done.result()


def faults(clients: list[Client]) -> list[str]:
    return [fault for client in clients for fault in client.faults]


def summary(rounds: int, starts: int, clients: list[Client]) -> str:
    done = sum((client.done for client in clients), Counter[str]())
    changes = sum(done[kind] for kind in ("enrol", "delete identity", "delete image", "rename", "merge"))
    wrong = Counter(fault.partition(":")[0] for fault in faults(clients))
    return (
        f"{rounds} kills at work, {starts} at the start; {changes} acknowledged changes:"
        f" {done['enrol']} enrolments of {done['images enrolled']} images, {done['rename']} renamed,"
        f" {done['merge']} merged, {done['delete identity']} identities and {done['delete image']} images deleted;"
        f" {done['query']} queries; of the changes in the balance {done['in the balance: there']} had happened,"
        f" {done['in the balance: not there']} had not; lost {wrong['lost']}, returned {wrong['returned']},"
        f" wrong identities {wrong['wrong identity']}, by halves {wrong['by halves']}"
    )


@pytest.mark.parametrize("rounds", [4, pytest.param(200, marks=pytest.mark.long)])
def test_kills(servers: Zygote, tiny_bundle: Path, tmp_path: Path, rounds: int) -> None:
    clients, moments, starts = [Client(number) for number in range(CLIENTS)], random.Random(2026), 0
    for seed in range(rounds + 1):
        if seed % 4 == 1:
            starts += 1
            with forked(servers, tiny_bundle, tmp_path, wait=False):
                time.sleep(moments.uniform(0.0, 0.15))
        with forked(servers, tiny_bundle, tmp_path) as process:
            verify(process.url, clients, seed)
            if seed < rounds and not faults(clients):
                kill_at_work(process, clients, seed, moments)
    print(summary(rounds, starts, clients))
    assert not faults(clients), "\n".join(faults(clients))
    assert sum(client.done["enrol"] for client in clients) >= rounds // 4


def test_the_verification_notices(servers: Zygote, tiny_bundle: Path, tmp_path: Path) -> None:
    """What is lost, came back, is another's, or happened by halves."""
    truth = Client(0)
    anna, bert, carl = (f"{truth.prefix}{name}" for name in ("anna", "bert", "carl"))
    with forked(servers, tiny_bundle, tmp_path) as process, connected(process.url) as http:

        def found(client: Client) -> str:
            verify(process.url, [client], seed=0)
            return "; ".join(client.faults)

        for identity in (anna, bert):
            change(http, truth, Change("enrol", identity, (truth.new_picture(), truth.new_picture())))
        assert found(deepcopy(truth)) == ""
        [one, _], [other, _] = (sorted(truth.state[identity]) for identity in (anna, bert))

        believes = deepcopy(truth)  # in an enrolment and a deletion that never happened
        believes.begun = Change("enrol", carl, (believes.new_picture(),))
        believes.acknowledged()
        assert found(deepcopy(believes)).startswith("lost: ")
        believes = deepcopy(truth)
        believes.begun = Change("delete image", anna, (one,))
        believes.acknowledged()
        said = found(believes)
        assert said.count("returned: ") == 3 and "finds" in said and "downloaded" in said
        believes = deepcopy(truth)  # that two pictures were sent together, of which one is there
        first, second = believes.new_picture(), believes.new_picture()
        change(http, believes, Change("enrol", carl, (first,)))
        believes.state, believes.begun = truth.state, Change("enrol", carl, (first, second))
        assert found(believes).startswith("by halves: ")
        http.delete(f"/gallery/{quote(carl, safe='')}")
        assert found(deepcopy(truth)) == ""
    with closing(sqlite3.connect(tmp_path / "gallery.db")) as store:
        images = [truth.image_ids[name] for name in (one, other)]
        vectors = [
            store.execute("SELECT vector FROM vectors_1 WHERE image = ?", [i]).fetchone()[0] for i in images
        ]
        store.executemany(
            "UPDATE vectors_1 SET vector = ? WHERE image = ?", zip(reversed(vectors), images, strict=True)
        )
        store.commit()
    with forked(servers, tiny_bundle, tmp_path) as process:
        verify(process.url, [truth], seed=0)
    assert [fault.partition(":")[0] for fault in truth.faults] == ["wrong identity"] * 2
