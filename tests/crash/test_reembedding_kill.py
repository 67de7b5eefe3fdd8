"""kill -9 while a gallery is moved to another bundle: it is wholly on one side of the switch, and the job goes on."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from index import Enrolment, Image
from tests.crash.gallery_worker import vector
from tests.crash.reembedding_worker import BUNDLES, opened
from tests.support.zygote import Zygote, zygote

IMAGES = 40


@pytest.fixture(scope="module")
def workers() -> Iterator[Zygote]:
    with zygote("tests.crash.reembedding_worker:move") as process:
        yield process


@pytest.mark.parametrize("rounds", [6, pytest.param(200, marks=pytest.mark.long)])
def test_kill(workers: Zygote, tmp_path: Path, rounds: int) -> None:
    path, log, moments = tmp_path / "gallery.db", tmp_path / "steps", random.Random(0)
    gallery = opened(path)
    for name in map(str, range(IMAGES)):
        image = Image(name.encode(), "image/png")
        gallery.add([Enrolment(f"p{name}", vector(name, gallery.dimension), name, image=image)])
    gallery.close()
    halfway = 0
    for _ in range(rounds):
        log.write_bytes(b"")
        worker, steps = workers.fork(path=str(path), log=str(log)), moments.randrange(24)
        while log.stat().st_size < steps:
            assert worker.poll() is None, "the worker ended by itself"
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.01))
        worker.kill()
        gallery = opened(path)
        gallery.check()
        assert gallery.count().images == IMAGES
        dimension = BUNDLES[gallery.bundle_id]
        probes = np.array([vector(str(number), dimension) for number in range(IMAGES)])
        for number, [match] in enumerate(gallery.search(probes, 1)):
            assert match.identity == f"p{number}"
            assert match.score > 0.999
        if job := gallery.reembedding():
            assert len(job.pending(IMAGES)) == job.progress().pending
            halfway += 0 < job.progress().embedded < IMAGES
        gallery.close()
    gallery = opened(path)
    switches = sum(line.action == "switch" for line in gallery.audit(limit=10**6).items)
    gallery.close()
    assert rounds < 100 or (switches and halfway)
    print(f"{rounds} kills during re-embeddings, {halfway} of them half-way, {switches} switches; no losses")
