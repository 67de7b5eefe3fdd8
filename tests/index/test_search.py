"""Exactness where it is easily lost: many rows, one person who owns many images, ties, batches, filters."""

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from index import Enrolment, Filters, InvalidEnrolment, WrongBundle
from index.ranking import score
from tests.index.conftest import EVERY, Opener
from tests.index.people import Oracle, assert_same_ranking, one_hot, unit

ENGINES = EVERY
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


def test_exact_over_many_segments(open_it: Opener, many: int) -> None:
    rng = np.random.default_rng(1)
    vectors, probes = unit(rng, 40 * many, 16), unit(rng, 3, 16)
    gallery, oracle = open_it(), Oracle()
    owners = rng.integers(0, 3 * many, len(vectors))
    items = [
        Enrolment(f"p{owner}", vector, str(row), camera=f"c{row % 5}")
        for row, (owner, vector) in enumerate(zip(owners.tolist(), vectors, strict=True))
    ]
    for added, item in zip(gallery.add(items), items, strict=True):
        oracle.add(added.image_id, item)
    for filters in (Filters(), Filters(exclude_cameras=frozenset({"c1", "c4"}), prefix="p1")):
        for probe, matches in zip(probes, gallery.search(probes, 10, filters=filters), strict=True):
            assert_same_ranking(matches, oracle.scores(probe, filters), 10)


@pytest.mark.parametrize("threads", [1, 3])
def test_one_person_owns_most_images(open_it: Opener, threads: int, many: int) -> None:
    rng = np.random.default_rng(2)
    probe = one_hot(16)
    close = unit(rng, 20 * many, 16) * 0.1 + probe  # all nearer to the probe than anybody else's
    close /= np.linalg.norm(close, axis=1, keepdims=True)
    items = [Enrolment("crowd", vector, str(row)) for row, vector in enumerate(close)]
    items += [Enrolment(f"p{row}", vector, "one") for row, vector in enumerate(unit(rng, 50, 16))]
    gallery, oracle = open_it(threads=threads), Oracle()
    for added, item in zip(gallery.add(items), items, strict=True):
        oracle.add(added.image_id, item)
    matches = gallery.search(probe[None], 10)[0]
    assert matches[0].identity == "crowd"
    assert_same_ranking(matches, oracle.scores(probe, Filters()), 10)


def test_ties_rank_in_order_of_enrolment(open_it: Opener, many: int) -> None:
    gallery, probe = open_it(), one_hot(16)
    names = [f"p{row}" for row in np.random.default_rng(3).permutation(500)]
    for name in names[: many // 10]:
        gallery.add([Enrolment(name, probe, "same picture")])
    gallery.add([Enrolment(name, probe, "same picture") for name in names[many // 10 :]])
    assert [match.identity for match in gallery.search(probe[None], 400)[0]] == names[:400]
    gallery.remove_identity(names[0])
    assert [match.identity for match in gallery.search(probe[None], 3)[0]] == names[1:4]


def test_a_batch_equals_single_searches_bit_for_bit(open_it: Opener, many: int) -> None:
    rng = np.random.default_rng(4)
    gallery = open_it(64)
    vectors, probes = unit(rng, 3 * many, 64), unit(rng, max(20, 70 * many // 1000), 64)
    gallery.add([Enrolment(f"p{row // 7}", vector, str(row)) for row, vector in enumerate(vectors)])
    together = gallery.search(probes, 10)
    assert together == [gallery.search(probe[None], 10)[0] for probe in probes]
    assert together == gallery.search(probes, 10)


def test_order_of_rows_and_reopening_change_no_score(open_it: Opener) -> None:
    rng = np.random.default_rng(5)
    vectors, probe = unit(rng, 999, 33), unit(rng, 1, 33)
    gallery = open_it(33)
    gallery.add([Enrolment(f"p{row}", vector, "x") for row, vector in enumerate(vectors)])
    found = gallery.search(probe, 999)[0]
    gallery.remove_identity("p0")
    gallery.close()
    reopened = open_it(33).search(probe, 999)[0]
    assert reopened == [match for match in found if match.identity != "p0"]


def test_the_definition_of_a_score_does_not_depend_on_the_number_of_rows() -> None:
    rng = np.random.default_rng(6)
    for dimension in (7, 16, 512, 2048):
        rows, probe = unit(rng, 257, dimension), unit(rng, 1, dimension)[0]
        together = score(rows, probe)
        assert np.array_equal(together, [score(row[None], probe)[0] for row in rows])
        assert np.array_equal(together[100:], score(rows[100:], probe))


def test_scores_are_clipped(open_it: Opener) -> None:
    gallery = open_it(3)
    vector = np.full(3, 1.009 / np.sqrt(3), np.float32)  # as much too long as is let in
    gallery.add([Enrolment("long", vector, "x")])
    assert gallery.search(vector[None], 1)[0][0].score == 1.0
    assert gallery.search(-vector[None], 1)[0][0].score == -1.0


def test_time_filters(open_it: Opener) -> None:
    gallery, probe = open_it(), one_hot(16)
    for hour in range(4):
        gallery.add([Enrolment(f"p{hour}", probe, "x", captured_at=NOON + timedelta(hours=hour))])
    gallery.add([Enrolment("timeless", probe, "x")])

    def found(**limits: datetime) -> list[str]:
        return [match.identity for match in gallery.search(probe[None], 9, filters=Filters(**limits))[0]]  # type: ignore[arg-type]

    assert found(since=NOON + timedelta(hours=1)) == ["p1", "p2", "p3"]
    assert found(until=NOON + timedelta(hours=1)) == ["p0"]
    assert found(since=NOON, until=NOON) == []
    berlin = timezone(timedelta(hours=2))
    assert found(since=datetime(2026, 5, 4, 17, tzinfo=berlin)) == ["p3"]
    before_1970 = datetime(1950, 1, 1, tzinfo=UTC)
    assert found(since=before_1970) == ["p0", "p1", "p2", "p3"]
    with pytest.raises(InvalidEnrolment, match="no time zone"):
        found(since=datetime(2026, 5, 4))


def test_metadata_filter_compares_json_values(open_it: Opener) -> None:
    gallery, probe = open_it(), one_hot(16)
    values = {"int": 1, "true": True, "text": "1", "null": None, "half": 0.5, "list": [1]}
    gallery.add([Enrolment(name, probe, "x", metadata={"key": value}) for name, value in values.items()])

    def found(value: str | int | float | bool | None) -> list[str]:
        return [
            match.identity
            for match in gallery.search(probe[None], 9, filters=Filters(metadata={"key": value}))[0]
        ]

    assert found(1) == found(1.0) == ["int"]
    assert found(True) == ["true"]
    assert found("1") == ["text"]
    assert found(None) == ["null"]
    assert found(0.5) == ["half"]
    assert found("[1]") == []
    both = Filters(metadata={"key": 1, "other": 2})
    assert gallery.search(probe[None], 9, filters=both) == [[]]


def test_flagged_images_take_part_and_are_reported(open_it: Opener) -> None:
    gallery, probe = open_it(), one_hot(16)
    gallery.add([Enrolment("a", probe, "x", flagged=True), Enrolment("b", one_hot(16, 1), "x")])
    first, second = gallery.search(probe[None], 2)[0]
    assert (first.identity, first.images[0].flagged, second.images[0].flagged) == ("a", True, False)


def test_empty_gallery_and_no_probes(open_it: Opener) -> None:
    gallery = open_it()
    assert gallery.search(one_hot(16)[None], 5) == [[]]
    assert gallery.search(np.empty((0, 16), np.float32), 5) == []
    gallery.check()


@pytest.mark.parametrize(
    "vectors",
    [
        np.zeros((1, 16)),
        np.ones((1, 16)),
        np.full((1, 16), np.nan),
        np.ones((1, 15)) / np.sqrt(15),
        one_hot(16),
    ],
)
def test_what_cannot_be_searched_with(open_it: Opener, vectors: np.ndarray) -> None:
    with pytest.raises(InvalidEnrolment):
        open_it().search(vectors.astype(np.float32), 1)


def test_vectors_of_another_bundle_are_refused(open_it: Opener) -> None:
    gallery, vector = open_it(), one_hot(16)
    with pytest.raises(WrongBundle, match="bundle ffff"):
        gallery.search(vector[None], 1, bundle_id="ffff")
    with pytest.raises(WrongBundle, match="bundle ffff"):
        gallery.add([Enrolment("a", vector, "x")], bundle_id="ffff")
    assert gallery.count().images == 0
    gallery.add([Enrolment("a", vector, "x")], bundle_id=gallery.bundle_id)
    gallery.close()
    with pytest.raises(WrongBundle, match="1 vectors of bundle 0123456789abcdef"):
        open_it(bundle_id="ffff")
    with pytest.raises(WrongBundle, match="asked for bundle 0123456789abcdef \\(8 dim"):
        open_it(dimension=8)
    gallery = open_it()
    gallery.remove_identity("a")
    gallery.close()
    assert open_it(dimension=8, bundle_id="ffff").dimension == 8  # an empty gallery takes any bundle


def test_bad_arguments(open_it: Opener) -> None:
    gallery, probe = open_it(), one_hot(16)[None]
    for arguments in ({"top_k": 0}, {"top_k": 1, "supports": 0}):
        with pytest.raises(ValueError, match="expected at least 1"):
            gallery.search(probe, **arguments)  # type: ignore[arg-type]
