"""Moving to another bundle: a job that can be stopped anywhere, an atomic switch, and the way back."""

import hashlib
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from index import (
    Enrolment,
    Gallery,
    GalleryError,
    Image,
    IncompleteReembedding,
    Progress,
    Reembedding,
    ReembeddingUnderWay,
    WrongBundle,
)
from index.types import Vectors
from tests.index.conftest import Opener
from tests.index.people import BUNDLE, one_hot
from tests.index.test_upkeep import eventually

NEW, NEW_DIMENSION = "fedcba9876543210", 24


def embed(picture: bytes, bundle_id: str, dimension: int) -> Vectors:
    """What an encoder does: a vector that depends on the picture and the bundle."""
    seed = int.from_bytes(hashlib.sha256(bundle_id.encode() + picture).digest()[:8], "big")
    row = np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)
    return row / np.linalg.norm(row)


def old(number: int) -> Vectors:
    return embed(b"picture %d" % number, BUNDLE, 16)


def new(number: int) -> Vectors:
    return embed(b"picture %d" % number, NEW, NEW_DIMENSION)


def enrol(gallery: Gallery, numbers: range, *, bundle: str = BUNDLE, pictures: bool = True) -> None:
    gallery.add(
        [
            Enrolment(
                f"p{number // 2}",
                old(number) if bundle == BUNDLE else new(number),
                str(number),
                image=Image(b"picture %d" % number, "image/png") if pictures else None,
                filename=f"{number}.png",
            )
            for number in numbers
        ],
        bundle_id=bundle,
    )


def run(job: Reembedding, batches: int = 10**6) -> None:
    for _ in range(batches):
        if not (pending := job.pending(7)):
            return
        job.store([(one.image_id, embed(one.image.data, job.bundle_id, job.dimension)) for one in pending])


def test_the_whole_way(open_it: Opener) -> None:
    gallery = open_it()
    enrol(gallery, range(40))
    job = gallery.reembed(NEW, NEW_DIMENSION, actor="admin")
    assert job.progress() == Progress(NEW, 40, 0, 0)
    run(job, 3)
    assert job.progress() == Progress(NEW, 40, 21, 0)
    assert gallery.search(old(3)[None], 1)[0][0].identity == "p1"  # the old bundle serves on
    enrol(gallery, range(40, 50))
    gallery.remove_identity("p2")
    gallery.rename("p3", "p4")
    with pytest.raises(IncompleteReembedding, match="29 images are not embedded yet, and 0 cannot be"):
        job.switch()
    run(job)
    job.switch(actor="admin")
    assert (gallery.bundle_id, gallery.dimension) == (NEW, NEW_DIMENSION)
    for number in range(50):
        [match] = gallery.search(new(number)[None], 1, bundle_id=NEW)[0]
        assert (match.identity == {3: "p4"}.get(number // 2, f"p{number // 2}")) == (number // 2 != 2)
    gallery.check()
    for bundle in (BUNDLE, None):  # None stands for the bundle that it was opened with
        with pytest.raises(
            WrongBundle, match=f"vectors of bundle {BUNDLE}; the gallery holds those of {NEW}"
        ):
            gallery.search(old(3)[None], 1, bundle_id=bundle)
        with pytest.raises(WrongBundle):
            gallery.add([Enrolment("x", old(3), "x")], bundle_id=bundle)
    enrol(gallery, range(50, 52), bundle=NEW)
    gallery.close()
    with pytest.raises(WrongBundle):
        open_it()
    gallery = open_it(NEW_DIMENSION, NEW)
    assert gallery.search(new(51)[None], 1)[0][0].identity == "p25"
    assert gallery.reembedding() is None
    actions = [line.action for line in gallery.audit(limit=1000).items]
    assert [action for action in actions if "re-embed" in action or action == "switch"] == [
        "begin re-embedding",
        "switch",
    ]


def test_the_job_is_taken_up_again(open_it: Opener, tmp_path: Path) -> None:
    gallery = open_it()
    enrol(gallery, range(20))
    gallery.close()
    code = (
        "import os; from tests.index.test_reembedding import *; from index import open_gallery\n"
        f"g = open_gallery('sqlite:///{tmp_path / 'gallery.db'}', bundle_id=BUNDLE, dimension=16)\n"
        "run(g.reembed(NEW, NEW_DIMENSION), 2); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    gallery = open_it()
    job = gallery.reembedding()
    assert job is not None
    assert job.progress() == Progress(NEW, 20, 14, 0)
    with pytest.raises(ReembeddingUnderWay, match=f"to bundle {NEW} is under way"):
        gallery.reembed("another", 8)
    job = gallery.reembed(NEW, NEW_DIMENSION)
    assert [one.identity for one in job.pending(100)] == ["p7", "p7", "p8", "p8", "p9", "p9"]
    run(job)
    job.switch()
    assert gallery.search(new(0)[None], 1, bundle_id=NEW)[0][0].identity == "p0"


def test_giving_up(open_it: Opener) -> None:
    gallery = open_it()
    enrol(gallery, range(20))
    job = gallery.reembed(NEW, NEW_DIMENSION)
    run(job, 1)
    job.roll_back()
    assert gallery.reembedding() is None
    for call in (job.switch, job.roll_back, lambda: job.store([("1", new(1))]), lambda: job.skip("1", "x")):
        with pytest.raises(GalleryError, match="has ended"):
            call()
    assert gallery.search(old(3)[None], 1)[0][0].identity == "p1"
    job = gallery.reembed(NEW, NEW_DIMENSION)
    assert job.progress().embedded == 0
    gallery.check()


def test_what_must_be_enrolled_again(open_it: Opener) -> None:
    gallery = open_it()
    enrol(gallery, range(4))
    enrol(gallery, range(4, 8), pictures=False)
    job = gallery.reembed(NEW, NEW_DIMENSION)
    job.skip(job.pending(1)[0].image_id, "cannot be decoded")
    run(job)
    assert job.progress() == Progress(NEW, 8, 3, 5)
    with pytest.raises(IncompleteReembedding, match="0 images are not embedded yet, and 5 cannot be"):
        job.switch()
    first = job.missing(limit=2)
    rest = job.missing(first.next_cursor, limit=10)
    assert rest.next_cursor is None
    assert [(one.identity, one.filename, one.reason) for one in first.items + rest.items] == [
        ("p0", "0.png", "cannot be decoded"),
        *((f"p{number // 2}", f"{number}.png", "the picture was not kept") for number in range(4, 8)),
    ]
    job.switch(forget_missing=True)
    assert [(item.identity, item.images) for item in gallery.identities().items] == [("p0", 1), ("p1", 2)]
    gallery.check()
    gallery.close()
    assert open_it(NEW_DIMENSION, NEW).count().images == 3


def test_the_way_back(open_it: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery = open_it()
    enrol(gallery, range(10))
    with pytest.raises(GalleryError, match="no earlier bundle"):
        gallery.switch_back()
    job = gallery.reembed(NEW, NEW_DIMENSION)
    run(job)
    job.switch()
    gallery.remove_identity("p0")
    gallery.switch_back()
    assert gallery.search(old(3)[None], 1)[0][0].identity == "p1"
    assert gallery.search(old(0)[None], 1)[0][0].identity != "p0"
    gallery.switch_back()  # and forth
    enrol(gallery, range(10, 12), bundle=NEW)
    with pytest.raises(IncompleteReembedding, match="2 images were enrolled since the switch"):
        gallery.switch_back()
    job = gallery.reembed(BUNDLE, 16)
    assert job.progress() == Progress(BUNDLE, 10, 8, 0)
    run(job)
    job.switch()
    assert gallery.search(old(11)[None], 1)[0][0].identity == "p5"
    gallery.check()


def test_discarded_vectors_are_erased(
    open_it: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.maintenance.PERIOD_SECONDS", 0.01)
    gallery = open_it()
    enrol(gallery, range(30))
    job = gallery.reembed(NEW, NEW_DIMENSION)
    run(job)
    job.switch()
    trace = old(3).astype(np.float16).tobytes()

    def on_disk() -> bool:
        return any(trace in file.read_bytes() for file in tmp_path.glob("gallery.db*"))

    assert on_disk()
    gallery.discard_retired()
    eventually(lambda: not on_disk())
    with pytest.raises(GalleryError, match="no earlier bundle"):
        gallery.switch_back()
    gallery.check()
    assert gallery.search(new(3)[None], 1, bundle_id=NEW)[0][0].identity == "p1"


def test_the_switch_is_atomic_for_searches(open_it: Opener) -> None:
    gallery = open_it()
    enrol(gallery, range(40))
    job = gallery.reembed(NEW, NEW_DIMENSION)
    run(job)
    switched, stop = threading.Event(), threading.Event()
    failures: list[object] = []
    seen: set[str] = set()

    def search() -> None:
        while not stop.is_set():
            for bundle, probe in ((BUNDLE, old(3)), (NEW, new(3))):
                after = (
                    switched.is_set()
                )  # asked before: the search may begin before the switch and end after it
                try:
                    match = gallery.search(probe[None], 1, bundle_id=bundle)[0][0]
                    seen.add(bundle)
                    if match.identity != "p1" or match.score < 0.99:
                        failures.append(match)
                except WrongBundle:
                    if bundle == NEW and after:
                        failures.append("refused after the switch")

    readers = [threading.Thread(target=search) for _ in range(4)]
    for reader in readers:
        reader.start()
    eventually(lambda: BUNDLE in seen)
    job.switch()
    switched.set()
    eventually(lambda: NEW in seen)
    stop.set()
    for reader in readers:
        reader.join()
    assert not failures


def test_what_cannot_be_begun(open_it: Opener) -> None:
    gallery = open_it()
    gallery.add([Enrolment("a", one_hot(16), "x")])
    with pytest.raises(GalleryError, match="holds vectors of bundle 0123456789abcdef already"):
        gallery.reembed(BUNDLE, 16)
