"""Enrolling and listing: names of every kind, duplicates, pictures, pages."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from index import (
    Enrolment,
    Filters,
    Gallery,
    Image,
    InvalidCursor,
    InvalidEnrolment,
    UnknownIdentity,
    UnknownImage,
)
from index.cursor import write_cursor
from tests.index.conftest import EVERY, Opener
from tests.index.people import one_hot, unit

ENGINES = EVERY
NAMES = [
    "../../etc/passwd", "a/b\\c", "C:\\x", "人物 7", "🧍‍♀️", "שלום", "\u202eabc", "a\nb", " ",
    "'; DROP TABLE images; --", "%41", "é", "e\u0301", "x" * 512, "\U0010ffff\U0010ffffz", "\ud7ff",
]  # fmt: skip


def test_a_name_is_any_text(open_it: Opener) -> None:
    gallery = open_it()
    vectors = unit(np.random.default_rng(0), len(NAMES), 16)
    gallery.add([Enrolment(name, vector, "x") for name, vector in zip(NAMES, vectors, strict=True)])
    gallery.close()
    gallery = open_it()
    assert [item.identity for item in gallery.identities().items] == sorted(NAMES)
    for name, vector in zip(NAMES, vectors, strict=True):
        assert gallery.search(vector[None], 1)[0][0].identity == name
        assert name in [item.identity for item in gallery.identities(prefix=name).items]
        assert gallery.rename(name, name + "!" if len(name) < 500 else "y") == 1
        assert gallery.remove_identity(name) == 0
    assert gallery.count().identities == len(NAMES)


@pytest.mark.parametrize("name", ["", "x" * 513, "nul\0", "\ud800"])
def test_what_is_no_name(open_it: Opener, name: str) -> None:
    gallery, vector = open_it(), one_hot(16)
    with pytest.raises(InvalidEnrolment):
        gallery.add([Enrolment("fine", vector, "x"), Enrolment(name, vector, "x")])
    with pytest.raises(InvalidEnrolment):
        gallery.add([Enrolment("fine", vector, "x", camera=name)])
    gallery.add([Enrolment("fine", vector, "x")])
    with pytest.raises(InvalidEnrolment):
        gallery.rename("fine", name)
    assert gallery.count().images == 1
    assert gallery.remove_identity(name) == 0
    with pytest.raises(UnknownIdentity):
        gallery.images(name)


@pytest.mark.parametrize(
    "wrong",
    [
        {"metadata": {"x": float("nan")}},
        {"metadata": {"x": {1, 2}}},
        {"metadata": {"x": "\ud800"}},
        {"metadata": {"\udfff": 1}},
        {"quality": {"\ud800": 1.0}},
        {"filename": "\ud800.jpg"},
        {"content_hash": "\ud800"},
        {"captured_at": datetime(2026, 1, 1)},
        {"content_hash": ""},
        {"vector": np.zeros(16, np.float32)},
        {"vector": one_hot(15)},
    ],
)
def test_nothing_is_stored_of_a_call_with_a_bad_item(open_it: Opener, wrong: dict[str, object]) -> None:
    gallery = open_it()
    good = {"identity": "a", "vector": one_hot(16), "content_hash": "x"}
    with pytest.raises(InvalidEnrolment):
        gallery.add([Enrolment(**good), Enrolment(**{**good, "identity": "b", **wrong})])  # type: ignore[arg-type]
    assert gallery.count().images == 0
    gallery.check()


def test_duplicates_are_not_stored_twice(open_it: Opener) -> None:
    gallery, vector = open_it(), one_hot(16)
    first, again = gallery.add([Enrolment("a", vector, "x"), Enrolment("a", vector, "x")])
    assert (first.duplicate, again.duplicate, again.image_id) == (False, True, first.image_id)
    assert gallery.add([Enrolment("b", vector, "x")])[0].duplicate is False  # another person may have it
    assert gallery.count().images == 2
    assert gallery.rename("b", "a") == 0  # nothing is left to move
    assert gallery.count() == gallery.count().__class__(identities=1, images=1)


def test_image_ids_are_never_given_out_again(open_it: Opener) -> None:
    gallery, vector = open_it(), one_hot(16)
    last = gallery.add([Enrolment("a", vector, "x")])[0].image_id
    gallery.remove_identity("a")
    gallery.close()
    gallery = open_it()
    assert gallery.add([Enrolment("a", vector, "x")])[0].image_id != last
    assert gallery.remove_image("a", last) is False


def test_everything_about_an_image_comes_back(open_it: Opener) -> None:
    gallery = open_it()
    item = Enrolment(
        identity="a",
        vector=one_hot(16),
        content_hash="x",
        camera="gate 2",
        captured_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        metadata={"run": 3, "nested": {"a": [1, None]}, "umlaut": "ü"},
        filename="../böse.jpg",
        quality={"blur": 0.25},
        flagged=True,
        image=Image(b"\xff\xd8 picture", "image/jpeg"),
    )
    image_id = gallery.add([item])[0].image_id
    record = gallery.images("a").items[0]
    for field in ("camera", "captured_at", "metadata", "filename", "quality", "flagged", "content_hash"):
        assert getattr(record, field) == getattr(item, field)
    assert (record.image_id, record.media_type) == (image_id, "image/jpeg")
    assert gallery.image("a", image_id) == item.image


def test_pictures_are_kept_only_if_wanted(open_it: Opener) -> None:
    gallery = open_it(keep_images=False)
    item = Enrolment("a", one_hot(16), "x", image=Image(b"picture", "image/png"))
    image_id = gallery.add([item])[0].image_id
    assert gallery.image("a", image_id) is None
    assert gallery.images("a").items[0].media_type is None


def test_unknown_images(open_it: Opener) -> None:
    gallery = open_it()
    image_id = gallery.add([Enrolment("a", one_hot(16), "x")])[0].image_id
    gallery.add([Enrolment("b", one_hot(16), "x")])
    for wrong in ("", "0", "-1", "99", "1.0", "٣", "9" * 40, f"0{image_id}", "abc"):
        assert gallery.remove_image("a", wrong) is False
        with pytest.raises(UnknownImage):
            gallery.image("a", wrong)
    assert gallery.remove_image("b", image_id) is False
    for call in (gallery.image, gallery.rename):
        with pytest.raises(UnknownIdentity, match=r"^no identity 'nobody'$"):
            call("nobody", image_id)


def test_pages_cover_everything_once(open_it: Opener) -> None:
    gallery = open_it()
    vectors = unit(np.random.default_rng(0), 25, 16)
    gallery.add([Enrolment(f"p{row % 11}", vector, str(row)) for row, vector in enumerate(vectors)])
    for limit in (1, 3, 10, 11, 100):
        assert walk(gallery, limit) == sorted(f"p{row}" for row in range(11))
        assert [name for name in walk(gallery, limit, "p1")] == ["p1", "p10"]
    seen, cursor = [], None
    while True:
        page = gallery.images("p1", cursor, 1)
        seen += [record.content_hash for record in page.items]
        if (cursor := page.next_cursor) is None:
            break
    assert seen == ["1", "12", "23"]


def walk(gallery: Gallery, limit: int, prefix: str = "") -> list[str]:
    names, cursor = [], None
    while True:
        page = gallery.identities(cursor, limit, prefix)
        assert len(page.items) <= limit
        names += [item.identity for item in page.items]
        if (cursor := page.next_cursor) is None:
            return names


def test_a_page_is_not_shifted_by_changes_before_it(open_it: Opener) -> None:
    gallery = open_it()
    gallery.add([Enrolment(name, one_hot(16), "x") for name in "abcdef"])
    page = gallery.identities(limit=3)
    gallery.remove_identity("a")
    gallery.remove_identity("c")
    gallery.add([Enrolment("aa", one_hot(16), "x")])
    assert [item.identity for item in gallery.identities(page.next_cursor).items] == ["d", "e", "f"]


@pytest.mark.parametrize("last", ["", "x", "-5", "٣", "1.0", "9" * 19, "9" * 5000])
def test_a_cursor_that_is_no_number_where_one_is_expected(open_it: Opener, last: str) -> None:
    gallery = open_it()
    gallery.add([Enrolment("a", one_hot(16), "x")])
    with pytest.raises(InvalidCursor):
        gallery.audit(write_cursor("audit", last))
    with pytest.raises(InvalidCursor):
        gallery.images("a", write_cursor("image", last))


def test_bad_cursors_and_limits(open_it: Opener) -> None:
    gallery = open_it()
    gallery.add([Enrolment(name, one_hot(16), name) for name in ("a", "a", "b")])
    gallery.add([Enrolment("a", one_hot(16), "y")])
    identities, images = gallery.identities(limit=1).next_cursor, gallery.images("a", limit=1).next_cursor
    for cursor in ("", "x", "!!", "é", "aGVsbG8=", images):
        with pytest.raises(InvalidCursor):
            gallery.identities(cursor)
    with pytest.raises(InvalidCursor):
        gallery.images("a", identities)
    for call in (lambda: gallery.identities(limit=0), lambda: gallery.images("a", limit=-1)):
        with pytest.raises(ValueError, match="expected at least 1"):
            call()


def test_half_a_surrogate_pair_names_nothing(open_it: Opener) -> None:
    gallery = open_it()
    gallery.add([Enrolment("a", one_hot(16), "x", metadata={"key": "value"})])
    half = "\ud83e"
    assert gallery.identities(prefix=half).items == ()
    assert gallery.remove_image(half, "1") is False
    for filters in (
        Filters(metadata={"key": half}),
        Filters(metadata={half: "value"}),
        Filters(prefix=half),
        Filters(identities=frozenset({half})),
        Filters(cameras=frozenset({half})),
    ):
        assert gallery.search(one_hot(16)[None], 1, filters=filters) == [[]]


def test_odd_metadata_is_stored_as_json(open_it: Opener) -> None:
    gallery = open_it()
    odd = {"": "", "a'b": "\u2028", "deep": json.loads("[" * 50 + "]" * 50), "big": 10**30}
    gallery.add([Enrolment("a", one_hot(16), "x", metadata=odd)])
    assert gallery.images("a").items[0].metadata == odd
