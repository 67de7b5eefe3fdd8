from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from index import Gallery, open_gallery
from tests.index.people import BUNDLE

Opener = Callable[..., Gallery]


@pytest.fixture
def open_it(tmp_path: Path) -> Iterator[Opener]:
    """Opens the gallery of this test: the same file each time, so close it before opening it again."""
    opened: list[Gallery] = []

    def opener(dimension: int = 16, bundle_id: str = BUNDLE, **options: object) -> Gallery:
        uri = f"sqlite:///{tmp_path / 'gallery.db'}"
        opened.append(open_gallery(uri, bundle_id=bundle_id, dimension=dimension, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield opener
    for gallery in opened:
        gallery.close()


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 8 rows, so that a test with dozens of images crosses their borders and compacts them."""
    monkeypatch.setattr("index.view.SEGMENT_ROWS", 8)
