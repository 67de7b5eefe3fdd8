"""Any sequence of changes leaves the gallery equal to the oracle, in memory and after reopening."""

import hashlib
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import index.view
from index import Enrolment, Filters, Gallery, UnknownIdentity, open_gallery
from tests.index.people import BUNDLE, Oracle, assert_same_ranking, unit

DIMENSION = 12
SPACE = hashlib.blake2b(f"{BUNDLE}:{DIMENSION}".encode(), digest_size=8).hexdigest()
NAMES = ["a", "b", "ab", "ä", "../a", "人", "a b"]
START = datetime(2026, 1, 1, tzinfo=UTC)

names = st.sampled_from(NAMES)
cameras = st.none() | st.sampled_from(["c1", "c2", "c3"])
times = st.none() | st.integers(0, 6).map(lambda hours: START + timedelta(hours=hours))
metadata = st.none() | st.fixed_dictionaries(
    {}, optional={"run": st.integers(0, 2), "night": st.booleans(), "tags": st.just(["x"])}
)
images = st.tuples(names, st.integers(0, 30), cameras, times, metadata, st.booleans())
filters = st.builds(
    Filters,
    cameras=st.none() | st.frozensets(st.sampled_from(["c1", "c2", "c9"])),
    exclude_cameras=st.just(frozenset()) | st.frozensets(st.sampled_from(["c1", "c3"])),
    since=times,
    until=times,
    identities=st.none() | st.frozensets(names),
    prefix=st.none() | st.sampled_from(["", "a", "z", "../"]),
    metadata=st.just({})
    | st.fixed_dictionaries({}, optional={"run": st.integers(0, 2), "night": st.booleans()}),
)


class GalleryMachine(RuleBasedStateMachine):
    gallery: Gallery

    @initialize()
    def start(self) -> None:
        memory = Path("/dev/shm")  # thousands of commits: not on a disk that takes its time over each
        self.folder = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        self.vectors = unit(np.random.default_rng(0), 31, DIMENSION)
        self.oracle = Oracle()
        self.open()

    def uri(self) -> str:
        return f"sqlite:///{Path(self.folder.name) / 'gallery.db'}"

    def open(self) -> None:
        self.gallery = open_gallery(self.uri(), bundle_id=BUNDLE, dimension=DIMENSION, threads=2)

    def teardown(self) -> None:
        try:
            self.lists_and_counts()
        finally:  # or each failing example would leave 32 MiB in memory
            self.gallery.close()
            self.folder.cleanup()

    @rule(batch=st.lists(images, max_size=12))
    def add(
        self, batch: list[tuple[str, int, str | None, datetime | None, dict[str, object] | None, bool]]
    ) -> None:
        items = [
            Enrolment(name, self.vectors[picture], f"hash {picture}", camera, time, facts, flagged=flagged)
            for name, picture, camera, time, facts, flagged in batch
        ]
        for item, added in zip(items, self.gallery.add(items), strict=True):
            before = self.oracle.find(item.identity, item.content_hash)
            assert added.duplicate == (before is not None)
            assert added.identity == item.identity
            if before is not None:
                assert added.image_id == before
            else:
                self.oracle.add(added.image_id, item)

    @rule(name=names)
    def remove_identity(self, name: str) -> None:
        gone = self.oracle.of(name)
        assert self.gallery.remove_identity(name) == len(gone)
        self.oracle.remove(gone)

    @precondition(lambda self: self.oracle.images)
    @rule(data=st.data(), name=names)
    def remove_image(self, data: st.DataObject, name: str) -> None:
        image_id = data.draw(st.sampled_from(list(self.oracle.images)))
        owned = self.oracle.images[image_id].identity == name
        assert self.gallery.remove_image(name, image_id) == owned
        if owned:
            self.oracle.remove([image_id])

    @rule(name=names, new=names)
    def rename(self, name: str, new: str) -> None:
        if not self.oracle.of(name):
            with pytest.raises(UnknownIdentity):
                self.gallery.rename(name, new)
        else:
            assert self.gallery.rename(name, new) == self.oracle.rename(name, new)

    @rule(
        filters=filters,
        top_k=st.integers(1, 9),
        supports=st.integers(1, 4),
        min_score=st.none() | st.floats(-0.5, 0.9),
        probes=st.lists(st.integers(0, 30), max_size=3),
    )
    def search(
        self, filters: Filters, top_k: int, supports: int, min_score: float | None, probes: list[int]
    ) -> None:
        vectors = self.vectors[probes]
        found = self.gallery.search(vectors, top_k, filters=filters, min_score=min_score, supports=supports)
        assert len(found) == len(probes)
        for probe, matches in zip(vectors, found, strict=True):
            assert_same_ranking(matches, self.oracle.scores(probe, filters), top_k, supports, min_score)

    @rule(with_snapshot=st.booleans())
    def reopen(self, with_snapshot: bool) -> None:
        self.gallery.close()
        if not with_snapshot:
            (Path(self.folder.name) / "gallery.db.snapshot").unlink(missing_ok=True)
        self.open()

    @rule()
    def lists_and_counts(self) -> None:
        counts = self.gallery.count()
        assert (counts.identities, counts.images) == (len(self.oracle.identities), len(self.oracle.images))
        self.gallery.check()
        summaries = self.gallery.identities(limit=100).items
        assert [summary.identity for summary in summaries] == self.oracle.identities
        for summary in summaries:
            own = [self.oracle.images[image_id].enrolment for image_id in self.oracle.of(summary.identity)]
            assert summary.images == len(own)
            assert summary.cameras == tuple(sorted({item.camera for item in own if item.camera is not None}))
            listed = self.gallery.images(summary.identity).items
            assert [record.image_id for record in listed] == self.oracle.of(summary.identity)
            for record, item in zip(listed, own, strict=True):
                assert (record.camera, record.captured_at) == (item.camera, item.captured_at)
                assert (record.metadata, record.flagged) == (item.metadata, item.flagged)


class TestGallery(GalleryMachine.TestCase):  # type: ignore[misc]
    settings = settings(
        max_examples=60,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )

    @pytest.fixture(autouse=True)
    def small_segments(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(index.view, "SEGMENT_ROWS", 8)


class DistributedMachine(GalleryMachine):
    server: ClassVar[Any]

    @initialize()
    def start(self) -> None:
        if self.server is not None:
            self.server.empty(*(f"tests_{kind}" for kind in ("journal", "people", f"images_{SPACE}")))
        super().start()

    def uri(self) -> str:
        if self.server is None:
            return f"milvus+lite:///{Path(self.folder.name) / 'milvus.db'}"
        return f"milvus://{self.server.address}/tests"


class Distributed(DistributedMachine.TestCase):  # type: ignore[misc]
    __test__ = False
    settings = settings(
        max_examples=5,
        stateful_step_count=15,
        deadline=None,
        derandomize=True,
        phases=(Phase.generate,),  # a failure is not made smaller: each try takes long
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@pytest.mark.lite
class TestMilvusLite(Distributed):
    __test__ = True

    @pytest.fixture(autouse=True)
    def no_server(self) -> None:
        DistributedMachine.server = None


@pytest.mark.milvus
class TestMilvus(Distributed):
    __test__ = True

    @pytest.fixture(autouse=True)
    def a_server(self, milvus: object) -> None:
        DistributedMachine.server = milvus
