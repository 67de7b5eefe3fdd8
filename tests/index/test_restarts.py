"""Property tests of the embedded gallery across restarts with any snapshot, crashes, and restores of backups."""

import shutil
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from index import Filters, UnknownIdentity, UnknownImage, restore_gallery
from tests.index.people import Oracle
from tests.index.test_properties import GalleryMachine, images


class Remembering(Oracle):
    """Also of what is gone: the images, and whose they were last."""

    def __init__(self) -> None:
        super().__init__()
        self.gone: dict[str, str] = {}

    def remove(self, image_ids: Iterable[str]) -> None:
        image_ids = list(image_ids)
        self.gone |= {image_id: self.images[image_id].identity for image_id in image_ids}
        super().remove(image_ids)


class RestartMachine(GalleryMachine):
    oracle: Remembering
    backed_up: Oracle | None

    @initialize()
    def start(self) -> None:
        self.crashes, self.backed_up = 0, None
        super().start()
        self.oracle = Remembering()

    @property
    def home(self) -> Path:
        """Of the gallery: a new folder after each crash."""
        return Path(self.folder.name) / str(self.crashes)

    def uri(self) -> str:
        return f"sqlite:///{self.home / 'gallery.db'}"

    @property
    def snapshot(self) -> Path:
        return self.home / "gallery.db.snapshot"

    @property
    def from_snapshot(self) -> bool:
        used: bool = self.gallery._core._memory._current  # type: ignore[attr-defined]
        return used

    @rule(batch=st.lists(images, min_size=4, max_size=12))
    def add_some(self, batch: list[Any]) -> None:
        self.add(batch)

    def remove_first(self) -> None:
        for image_id, image in list(self.oracle.images.items())[:1]:
            assert self.gallery.remove_image(image.identity, image_id)
            self.oracle.remove([image_id])

    @rule(with_snapshot=st.booleans())
    def reopen(self, with_snapshot: bool) -> None:
        self.gallery.close()
        if not with_snapshot:
            self.snapshot.unlink(missing_ok=True)
        written = self.snapshot.exists()
        self.open()
        assert self.from_snapshot == written

    @precondition(lambda self: self.oracle.images)
    @rule()
    def reopen_with_an_earlier_snapshot(self) -> None:
        """It holds someone who was deleted since."""
        self.gallery.close()
        earlier = self.snapshot.read_bytes()
        self.open()
        self.remove_first()
        self.gallery.close()
        self.snapshot.write_bytes(earlier)
        self.open()
        assert not self.from_snapshot

    @rule()
    def crash(self) -> None:
        """Goes on with what a process leaves that is killed between two calls: nothing was closed."""
        left = self.home
        self.crashes += 1
        self.home.mkdir()
        for file in left.glob("gallery.db*"):
            if file.suffix not in (".lock", ".reserve"):
                shutil.copy(file, self.home)
        self.gallery.close()
        self.open()

    @rule()
    def back_up(self) -> None:
        shutil.rmtree(Path(self.folder.name) / "backup", ignore_errors=True)
        self.gallery.backup(Path(self.folder.name) / "backup")
        self.backed_up = deepcopy(self.oracle)

    @rule()
    def restore(self) -> None:
        """What was enrolled since the backup is lost; what was deleted since stays away."""
        if self.backed_up is None:
            self.back_up()
        assert self.backed_up is not None
        self.remove_first()
        self.gallery.close()
        restore_gallery(Path(self.folder.name) / "backup", self.uri(), replace=True)
        self.oracle.images = deepcopy(self.backed_up.images)
        self.oracle.remove([image_id for image_id in self.oracle.images if image_id in self.oracle.gone])
        self.open()

    @rule()
    def nobody_comes_back(self) -> None:
        for image_id, identity in self.oracle.gone.items():
            assert image_id not in self.oracle.images
            with pytest.raises((UnknownIdentity, UnknownImage)):
                self.gallery.image(identity, image_id)

    def teardown(self) -> None:
        self.nobody_comes_back()
        self.search(Filters(), top_k=9, supports=4, min_score=None, probes=list(range(31)))
        super().teardown()


class TestRestarts(RestartMachine.TestCase):  # type: ignore[misc]
    settings = settings(
        max_examples=30,
        stateful_step_count=25,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("index.view.SEGMENT_ROWS", 8)
        monkeypatch.setattr("index.reserve.RESERVE_BYTES", 4096)
