"""Many clients at once: every answer belongs to its question; past the limits 429 and 504, and then recovery."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np

from tests.service.conftest import Enrol
from tests.support.live import Live
from tests.support.pictures import encoded, low_resolution, person

URN = "urn:dgrl:problem:"
CLIENTS = 64


def test_64_clients_and_no_mismatched_answer(client: httpx.Client, live: Live, enrol: Enrol) -> None:
    for number in range(24):
        enrol(f"p{number}", (number,))
    crops = [encoded(low_resolution(person(n % 24, variant=1), 1 + n % 4)) for n in range(96)]
    alone = [client.post("/query", files={"images": crop}).json()["matches"] for crop in crops]
    start = threading.Barrier(CLIENTS)

    def ask(position: int) -> int:
        compared = 0
        with live.client() as mine:
            start.wait(60)
            for turn in range(4):
                chosen = (position * 7 + turn * 31) % len(crops)
                found = mine.post("/query", files={"images": crops[chosen]}).json()["matches"]
                expected = alone[chosen]
                assert [m["identity"] for m in found] == [m["identity"] for m in expected]
                np.testing.assert_allclose(
                    [m["score"] for m in found], [m["score"] for m in expected], atol=1e-6
                )
                compared += 1
        return compared

    with ThreadPoolExecutor(CLIENTS) as pool:
        assert sum(pool.map(ask, range(CLIENTS))) == 4 * CLIENTS
    batches = live.services.metrics.text().decode()
    assert 'dgrl_batch_images_bucket{le="1.0",session="embed_sr"}' in batches


def test_a_full_queue_answers_429_before_any_work(serve: Callable[..., Live]) -> None:
    live = serve(queue_images=8, max_images=8)
    crop = encoded(low_resolution(person(1), 2))
    statuses: Counter[int] = Counter()

    def ask(_: int) -> httpx.Response:
        with live.client() as mine:
            return mine.post("/embed", files=[("images", crop)] * 8)

    with ThreadPoolExecutor(16) as pool:
        for answer in pool.map(ask, range(48)):
            statuses[answer.status_code] += 1
            if answer.status_code == 429:
                assert answer.json()["type"] == URN + "queue-full"
                assert int(answer.headers["retry-after"]) >= 1
    assert set(statuses) == {200, 429} and statuses[200] >= 1, statuses
    assert live.services.admission.inside == 0
    with live.client() as mine:
        assert mine.post("/embed", files={"images": crop}).status_code == 200


def test_a_refused_request_costs_no_decoding(serve: Callable[..., Live]) -> None:
    live = serve(queue_images=1, max_images=1)
    admission = live.services.admission
    with admission.admit(1), live.client() as mine:  # the place is taken for as long as this block lasts
        for path, fields in (("/query", {}), ("/embed", {}), ("/gallery", {"identity": "x"})):
            answer = mine.post(path, files={"images": b"not even a picture"}, data=fields)
            assert answer.status_code == 429 and answer.json()["type"] == URN + "queue-full"
        assert mine.get("/livez").status_code == 200 and mine.get("/readyz").status_code == 200
    with live.client() as mine:
        assert mine.post("/query", files={"images": encoded(person(1))}).status_code == 200


def test_a_passed_deadline_is_504_and_stores_nothing(serve: Callable[..., Live]) -> None:
    live = serve(deadline_s=1e-6)
    with live.client() as mine:
        for path, fields in (("/query", {}), ("/embed", {}), ("/gallery", {"identity": "x"})):
            answer = mine.post(path, files={"images": encoded(person(1))}, data=fields)
            assert answer.status_code == 504 and answer.json()["type"] == URN + "deadline-exceeded"
        assert mine.get("/gallery").json()["identities"] == []
        assert live.services.admission.inside == 0
