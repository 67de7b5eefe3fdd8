"""A gallery moves to Milvus and back: same images, same rankings, same audit log; also when it is cut short."""

import contextlib
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from index import (
    Enrolment,
    Gallery,
    GalleryError,
    GalleryUnavailable,
    Image,
    backup_gallery,
    migrate,
    open_gallery,
    restore_gallery,
)
from index.migrate import _reading
from index.transfer import Sums
from service.cli import app
from tests.index.conftest import DISTRIBUTED
from tests.index.people import BUNDLE, unit

ENGINES = DISTRIBUTED
Opening = Callable[[str], Gallery]


def opened(uri: str) -> Gallery:
    return open_gallery(uri, bundle_id=BUNDLE, dimension=16)


@pytest.fixture
def source(tmp_path: Path) -> str:
    """With every kind of thing in it."""
    uri = f"sqlite:///{tmp_path / 'source.db'}"
    gallery = opened(uri)
    for row, vector in enumerate(unit(np.random.default_rng(0), 60, 16)):
        gallery.add(
            [
                Enrolment(
                    f"人{row % 20}" if row % 7 else "../é\n",
                    vector,
                    f"hash {row}",
                    camera=None if row % 3 else f"c{row % 5}",
                    captured_at=None if row % 4 else datetime(2026, 1, 1 + row % 20, tzinfo=UTC),
                    metadata=None if row % 2 else {"run": row, "deep": {"a": [1, None, 0.5]}, "ü": True},
                    filename=f"../{row}.png",
                    quality={"blur": row / 7},
                    flagged=row % 11 == 0,
                    image=None if row % 5 else Image(bytes([row]) * 100, "image/png"),
                )
            ],
            actor="key 1",
        )
    gallery.rename("人1", "人2", actor="key 2")
    gallery.remove_identity("人3", actor="key 2")
    gallery.close()
    return uri


def everything(gallery: Gallery) -> dict[str, object]:
    probes = unit(np.random.default_rng(1), 9, 16)
    listed = gallery.identities(limit=100).items
    records = {item.identity: gallery.images(item.identity).items for item in listed}
    return {
        "counts": gallery.count(),
        "listed": listed,
        "records": records,
        "pictures": [gallery.image(name, one.image_id) for name, own in records.items() for one in own],
        "audit": [
            (line.at, line.actor, line.action, line.detail)
            for line in gallery.audit(limit=1000).items
            if line.action != "search"
        ],
        "rankings": gallery.search(probes, 10),
        "again": gallery.search(probes, 10, rerank=True),
    }


def test_there_and_back(source: str, uri: str, tmp_path: Path) -> None:
    there = migrate(source, uri)
    assert (there.images, there.identities) == (57, 19)
    back = f"sqlite:///{tmp_path / 'back.db'}"
    assert migrate(uri, back) == there
    galleries = [opened(source), opened(uri), opened(back)]
    expected, *others = [everything(gallery) for gallery in galleries]
    for other in others:
        assert other == expected
    for gallery in galleries[1:]:  # and life goes on
        [added] = gallery.add([Enrolment("new", unit(np.random.default_rng(2), 1, 16)[0], "new")])
        assert added.image_id not in {one.image_id for own in expected["records"].values() for one in own}  # type: ignore[attr-defined]
        assert gallery.remove_identity("new") == 1
    for gallery in galleries:
        gallery.close()


def test_it_goes_on_where_it_was_cut_short(
    source: str, uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.transfer_embedded._AT_ONCE", 10)
    monkeypatch.setattr("index.milvus.transfer._PAGE", 10)
    back = f"sqlite:///{tmp_path / 'back.db'}"
    for one, other in ((source, uri), (uri, back)):
        seen: list[int] = []

        def cut(copied: int, seen: list[int] = seen) -> None:
            seen.append(copied)
            if len(seen) == 3:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            migrate(one, other, progress=cut)
        if other == uri:
            with pytest.raises(GalleryUnavailable, match="not complete"):
                opened(other)
        else:
            assert not (tmp_path / "back.db").exists()
        rest: list[int] = []
        assert migrate(one, other, progress=rest.append).images == 57
        assert rest[-1] == 57 - 30, "what was copied was copied again"
    with _reading(source) as first, _reading(back) as last:
        assert Sums.of(first) == Sums.of(last)


def test_what_is_not_a_migration(source: str, uri: str, tmp_path: Path) -> None:
    gallery = opened(source)
    with pytest.raises(GalleryUnavailable, match="already open"):
        migrate(source, uri)
    gallery.close()
    with pytest.raises(GalleryUnavailable, match="there is no gallery"):
        migrate(f"sqlite:///{tmp_path / 'nothing.db'}", uri)
    migrate(source, uri)
    for one, other in ((source, uri), (uri, source)):
        with pytest.raises(GalleryError, match=r"holds images already|exists already"):
            migrate(one, other)


def test_a_source_that_is_refused_is_let_go_of(tmp_path: Path) -> None:
    """Its lock as well: the second time it is refused for the same reason, not for being in use."""
    source = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(source)) as file:
        file.execute("CREATE TABLE x (y)")
    for _ in range(2):
        with pytest.raises(GalleryUnavailable, match="not a gallery"):
            migrate(f"sqlite:///{source}", f"sqlite:///{tmp_path / 'target.db'}")


def test_a_copy_that_is_not_equal_is_told(source: str, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import index.milvus.transfer as distributed

    real = distributed.MilvusWriter.put
    monkeypatch.setattr(distributed.MilvusWriter, "put", lambda self, images: real(self, images[1:]))
    with pytest.raises(GalleryError, match="the copy has 56 images"):
        migrate(source, uri)
    with pytest.raises(GalleryUnavailable, match="not complete"):
        opened(uri)


def test_backup_and_restore(source: str, uri: str, tmp_path: Path) -> None:
    migrate(source, uri)
    gallery = opened(uri)
    expected = everything(gallery)
    assert gallery.backup(tmp_path / "backup", {"settings": Path(__file__)}) == gallery.count()
    gallery.close()
    restored = f"sqlite:///{tmp_path / 'restored.db'}"
    assert restore_gallery(tmp_path / "backup", restored).deleted_since == 0
    embedded = opened(restored)
    found = everything(embedded)
    embedded.close()
    audit = found.pop("audit")
    assert audit[:-1] == expected.pop("audit")  # type: ignore[index]
    assert found == expected
    with pytest.raises(GalleryError, match="holds images already"):
        restore_gallery(tmp_path / "backup", uri)
    with pytest.raises(GalleryError, match="exists already"):
        backup_gallery(uri, tmp_path / "backup")


def test_the_command(source: str, uri: str, tmp_path: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["migrate", source, uri])
    assert done.exit_code == 0, done.output
    assert "57 images of 19 identities" in done.stdout and "are equal" in done.stdout
    refused = runner.invoke(app, ["migrate", source, uri])
    assert refused.exit_code == 2
    assert "dgrl: the target holds images already" in refused.stderr
