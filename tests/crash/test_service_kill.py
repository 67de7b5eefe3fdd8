"""`kill -9` while clients enrol: after a restart every acknowledged image is listed, stored and found."""

import random
import threading
import time
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.support.pictures import encoded, person
from tests.support.process import ServerProcess, started

CLIENTS = 4


@dataclass
class Ledger:
    """What the service has acknowledged: identity, image id and the hash of the file; and what it has not."""

    acknowledged: dict[tuple[str, str], str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    serial: int = 0

    def next_serial(self) -> int:
        with self.lock:
            self.serial += 1
            return self.serial

    def note(self, answer: httpx.Response, pictures: list[bytes]) -> None:
        assert answer.status_code == 201, answer.text
        body = answer.json()
        with self.lock:
            for image, picture in zip(body["images"], pictures, strict=True):
                assert image["status"] == "enrolled"
                self.acknowledged[body["identity"], image["image_id"]] = sha256(picture).hexdigest()


def enrol_until_killed(url: str, ledger: Ledger) -> None:
    with httpx.Client(base_url=url, timeout=30) as client:
        while True:
            serial = ledger.next_serial()
            pictures = [encoded(person(serial, variant=n)) for n in range(1 + serial % 3)]
            try:
                answer = client.post(
                    "/gallery",
                    files=[("images", (f"{n}.png", p)) for n, p in enumerate(pictures)],
                    data={"identity": f"p{serial % 40}"},
                )
            except httpx.TransportError:
                return  # killed: nothing was acknowledged
            ledger.note(answer, pictures)


def kill_during_enrolment(process: ServerProcess, ledger: Ledger, seconds: float) -> None:
    before = len(ledger.acknowledged)
    clients = [
        threading.Thread(target=enrol_until_killed, args=(process.url, ledger)) for _ in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    while len(ledger.acknowledged) == before:
        time.sleep(0.005)
    time.sleep(seconds)
    process.kill()
    for client in clients:
        client.join()


def check(url: str, ledger: Ledger, seed: int) -> None:
    with httpx.Client(base_url=url, timeout=30) as client:
        found = {}
        for identity in {identity for identity, _ in ledger.acknowledged}:
            page = client.get(f"/gallery/{quote(identity)}", params={"limit": 1000}).json()
            assert page["next_cursor"] is None
            found |= {(identity, image["image_id"]): image["sha256"] for image in page["images"]}
        lost = ledger.acknowledged.items() - found.items()
        assert not lost, f"{len(lost)} of {len(ledger.acknowledged)} acknowledged images are lost"
        sample = random.Random(seed).sample(sorted(ledger.acknowledged), min(10, len(ledger.acknowledged)))
        for identity, image_id in sample:
            picture = client.get(f"/gallery/{quote(identity)}/images/{image_id}").content
            assert sha256(picture).hexdigest() == ledger.acknowledged[identity, image_id]
            best = client.post("/query", files={"images": picture}, data={"top_k": 1}).json()["matches"][0]
            assert best["identity"] == identity and best["score"] > 0.999


def rounds(bundle: Path, data_dir: Path, count: int) -> None:
    ledger, moments = Ledger(), random.Random(2026)
    for number in range(count):
        with started(bundle, data_dir) as process:
            check(process.url, ledger, seed=number)
            kill_during_enrolment(process, ledger, moments.uniform(0, 0.5))
    with started(bundle, data_dir) as process:
        check(process.url, ledger, seed=count)
    print(f"{count} kills, {len(ledger.acknowledged)} acknowledged images, none lost")


def test_three_kills(tiny_bundle: Path, tmp_path: Path) -> None:
    rounds(tiny_bundle, tmp_path, 3)


@pytest.mark.long
def test_twenty_kills(tiny_bundle: Path, tmp_path: Path) -> None:
    rounds(tiny_bundle, tmp_path, 20)
