from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from index import Gallery, open_gallery
from tests.index.people import BUNDLE

Opener = Callable[..., Gallery]
DISTRIBUTED = (
    pytest.param("lite", marks=pytest.mark.lite),
    pytest.param("milvus", marks=pytest.mark.milvus),
)
EVERY = ("sqlite", *DISTRIBUTED)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The tests of a module with ENGINES run on each of these; those of any other on SQLite."""
    engines = getattr(metafunc.module, "ENGINES", None)
    if "engine" in metafunc.fixturenames and engines:
        metafunc.parametrize("engine", engines)


@pytest.fixture
def engine() -> str:
    return "sqlite"


@pytest.fixture
def many(engine: str) -> int:
    """A thousand, or a hundred where writing takes longer."""
    return 1000 if engine == "sqlite" else 100


@pytest.fixture
def uri(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """Of the gallery of this test, which is empty at its start."""
    if engine == "sqlite":
        return f"sqlite:///{tmp_path / 'gallery.db'}"
    if engine == "lite":
        return f"milvus+lite:///{tmp_path / 'milvus.db'}?pictures={tmp_path / 'pictures'}"
    from index.milvus.layout import Space

    server = request.getfixturevalue("milvus")
    server.empty("tests_journal", "tests_people", f"tests_images_{Space(BUNDLE, 16).hash}")
    return f"milvus://{server.address}/tests?pictures={tmp_path / 'pictures'}"


@pytest.fixture
def open_it(uri: str) -> Iterator[Opener]:
    """Opens the gallery of this test: the same one each time, so close it before opening it again."""
    opened: list[Gallery] = []

    def opener(dimension: int = 16, bundle_id: str = BUNDLE, **options: object) -> Gallery:
        opened.append(open_gallery(uri, bundle_id=bundle_id, dimension=dimension, **options))  # type: ignore[arg-type]
        return opened[-1]

    yield opener
    for gallery in opened:
        gallery.close()


@pytest.fixture(scope="session")
def milvus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    from tests.support.milvus_server import milvus_server

    with milvus_server(tmp_path_factory.mktemp("milvus")) as server:
        yield server


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 8 rows, so that a test with dozens of images crosses their borders and compacts them."""
    monkeypatch.setattr("index.view.SEGMENT_ROWS", 8)
