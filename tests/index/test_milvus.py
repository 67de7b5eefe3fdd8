"""What only the distributed gallery has: several services, a server that goes away, changes that were cut short."""

import threading
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from index import Enrolment, Gallery, GalleryError, GalleryUnavailable, Image, NotOffered
from tests.index.conftest import DISTRIBUTED, Opener
from tests.index.people import one_hot, unit

ENGINES = DISTRIBUTED


def enrolment(name: str, row: int = 0) -> Enrolment:
    return Enrolment(name, one_hot(16, row), f"{name} {row}")


def names(gallery: Gallery, axis: int = 0) -> set[str]:
    return {match.identity for match in gallery.search(one_hot(16, axis)[None], 9, min_score=0.9)[0]}


def test_a_client_sees_its_own_changes_at_once(open_it: Opener) -> None:
    gallery = open_it()
    for round in range(5):
        gallery.add([enrolment(f"p{round}")])
        assert names(gallery) == {f"p{round}"}
        gallery.rename(f"p{round}", "other")
        assert names(gallery) == {"other"}
        assert gallery.remove_identity("other") == 1
        assert names(gallery) == set()
        assert (gallery.count().identities, gallery.count().images) == (0, 0)


def test_services_share_a_gallery(open_it: Opener) -> None:
    one, other = open_it(), open_it()
    ids = {added.image_id for row in range(8) for added in one.add([enrolment("a", row)])}
    ids |= {added.image_id for row in range(8) for added in other.add([enrolment("b", row)])}
    assert len(ids) == 16
    started = time.monotonic()
    while names(one) != {"a", "b"} or names(other) != {"a", "b"}:
        assert time.monotonic() - started < 10
    other.rename("a", "c")
    assert one.remove_identity("c") == 8  # removals look at the newest state, whoever wrote it
    while names(other) != {"b"}:
        assert time.monotonic() - started < 20


def test_services_that_enrol_at_the_same_time(open_it: Opener, engine: str) -> None:
    if engine == "lite":
        pytest.skip("Milvus Lite is not made for writers side by side")
    galleries = [open_it() for _ in range(3)]

    def enrol(number: int) -> None:
        for row in range(6):
            galleries[number].add([enrolment(f"p{number}", row), enrolment("all", 6 * number % 16 + row % 4)])

    threads = [threading.Thread(target=enrol, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = open_it()
    found = [record.image_id for name in ("p0", "p1", "p2", "all") for record in last.images(name).items]
    assert len(found) == len(set(found)) >= 18
    assert {item.identity for item in last.identities().items} == {"p0", "p1", "p2", "all"}


@pytest.mark.parametrize("change", ["delete", "rename", "merge"])
@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_a_change_that_was_cut_short_is_finished_by_another_service(
    open_it: Opener, monkeypatch: pytest.MonkeyPatch, change: str, done: int
) -> None:
    """The service dies after its first `done` writes behind the journal's line."""
    gallery, writes = open_it(), 0
    gallery.add([enrolment("a", row) for row in range(3)])
    gallery.add([Enrolment("b", one_hot(16, 5), "a 1"), enrolment("b", 6)])
    connection = gallery._connection  # type: ignore[attr-defined]

    def cut(name: str) -> None:
        real = getattr(connection, name)

        def dying(collection: str, *arguments: object) -> None:
            nonlocal writes
            if not collection.endswith("_journal"):
                if writes == done:
                    raise GalleryUnavailable("killed")
                writes += 1
            real(collection, *arguments)

        monkeypatch.setattr(connection, name, dying)

    for name in ("upsert", "delete", "delete_where"):
        cut(name)
    try:
        gallery.remove_identity("a") if change == "delete" else gallery.rename(
            "a", "b" if change == "merge" else "c"
        )
    except GalleryUnavailable:
        assert writes == done
    monkeypatch.undo()
    other = open_it()
    other.finish_changes(older_than_s=-1.0)  # type: ignore[attr-defined]
    assert other.finish_changes(older_than_s=-1.0) == 0  # type: ignore[attr-defined]
    listed = {item.identity: item.images for item in other.identities().items}
    expected = {"delete": {"b": 2}, "rename": {"b": 2, "c": 3}, "merge": {"b": 4}}[change]
    assert listed == expected
    assert names(other, 0) == {"delete": set(), "rename": {"c"}, "merge": {"b"}}[change]
    assert other.count().images == sum(expected.values())


def test_a_merge_that_dies_between_its_lines_is_finished_as_a_whole(
    open_it: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the images is dropped, as the other identity has it already."""
    gallery, writes = open_it(), 0
    gallery.add([enrolment("a", row) for row in range(2)])
    gallery.add([Enrolment("b", one_hot(16, 1), "a 1")])
    journal = gallery._journal  # type: ignore[attr-defined]
    real = journal.write

    def dying(*arguments: object) -> None:
        nonlocal writes
        writes += 1
        if writes == 2:
            raise GalleryUnavailable("killed")
        real(*arguments)

    monkeypatch.setattr(journal, "write", dying)
    with pytest.raises(GalleryUnavailable):
        gallery.rename("a", "b")
    other = open_it()
    other.finish_changes(older_than_s=-1.0)  # type: ignore[attr-defined]
    assert {item.identity: item.images for item in other.identities().items} == {"b": 2}


def test_searches_are_in_the_audit_log_also_when_writing_it_failed_once(
    open_it: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("index.maintenance.PERIOD_SECONDS", 1000)
    gallery = open_it()
    for actor in ("one", "two", "three"):
        gallery.search(one_hot(16)[None], 1, actor=actor)
    journal, failed = gallery._journal, False  # type: ignore[attr-defined]
    real = journal.write

    def failing(*arguments: object) -> None:
        nonlocal failed
        if not failed:
            failed = True
            raise GalleryUnavailable("away")
        real(*arguments)

    monkeypatch.setattr(journal, "write", failing)
    with pytest.raises(GalleryUnavailable):
        gallery._log_searches()  # type: ignore[attr-defined]
    gallery._log_searches()  # type: ignore[attr-defined]
    logged = {line.actor for line in gallery.audit().items if line.action == "search"}
    assert failed and logged == {"one", "two", "three"}


def test_another_search_than_the_gallery_was_made_for_is_said_to_have_no_effect(
    open_it: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    open_it().close()
    assert "has no effect" not in caplog.text
    open_it(search="hnsw")
    assert "'exact', and is; 'hnsw' has no effect" in caplog.text


def test_what_is_deleted_while_it_is_renamed_does_not_come_back(
    open_it: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = open_it(), open_it()
    doomed = one.add([enrolment("a", 0)])[0].image_id
    one.add([enrolment("a", 1)])
    changes = one._changes  # type: ignore[attr-defined]
    real = changes._move

    def delayed(*arguments: object) -> None:
        assert other.remove_image("a", doomed)  # between the reading of the rows and their writing
        real(*arguments)

    monkeypatch.setattr(changes, "_move", delayed)
    one.rename("a", "b")
    assert names(one, 0) == set()
    assert [record.content_hash for record in one.images("b").items] == ["a 1"]


def test_pictures_lie_in_a_folder_and_go_with_their_images(open_it: Opener, tmp_path: Path) -> None:
    gallery = open_it()
    picture = Image(b"picture", "image/png")
    for name in "ab":
        gallery.add([Enrolment(name, one_hot(16), "x", image=picture)])
    image = gallery.images("a").items[0].image_id
    assert gallery.image("a", image) == picture
    assert len(list((tmp_path / "pictures").rglob("*/*"))) == 2
    gallery.remove_image("a", image)
    gallery.rename("b", "c")
    assert gallery.image("c", gallery.images("c").items[0].image_id) == picture
    gallery.remove_identity("c")
    assert list((tmp_path / "pictures").rglob("*/*")) == []


def test_retention(open_it: Opener) -> None:
    gallery = open_it()
    gallery.add([enrolment("a", 0), enrolment("b", 1)])
    gallery.close()
    assert open_it(retention=timedelta(hours=1)).count().images == 2
    gallery = open_it(retention=timedelta(microseconds=1))
    assert (gallery.count().identities, gallery.count().images) == (0, 0)
    gone = [line.detail["identity"] for line in gallery.audit().items if line.action == "expire"]
    assert gone == ["a", "b"]


def test_what_is_not_offered_says_what_to_do(open_it: Opener) -> None:
    gallery = open_it()
    assert gallery.reembedding() is None
    for call in (lambda: gallery.reembed("new", 8), gallery.switch_back, gallery.discard_retired):
        with pytest.raises(NotOffered, match="dgrl migrate"):
            call()


def test_rows_that_milvus_cannot_hold_are_refused(open_it: Opener) -> None:
    gallery = open_it()
    for wrong in ({"metadata": {"x": "y" * 70_000}}, {"metadata": {str(key): key for key in range(1025)}}):
        with pytest.raises(GalleryError, match="Milvus holds at most"):
            gallery.add([Enrolment("a", one_hot(16), "x", **wrong)])  # type: ignore[arg-type]
    assert gallery.count().images == 0
    gallery.add(
        [
            Enrolment("a", vector, f"{row}")
            for row, vector in enumerate(unit(np.random.default_rng(0), 3000, 16))
        ]
    )
    assert gallery.remove_identity("a") == 3000  # more than one line of the journal and one request hold
