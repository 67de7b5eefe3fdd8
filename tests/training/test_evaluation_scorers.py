"""The scorers against an oracle that spells the rules out with plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.evaluation.outcome import NO_MATCH, Outcome, cmc, summarise
from training.evaluation.scorers import (
    Labels,
    Market1501,
    Scorer,
    ScorerName,
    SingleShot,
    inner_products,
    scorer,
)

Person = tuple[int, int]  # identity, camera


def labels(people: list[Person]) -> Labels:
    return Labels(np.array([p[0] for p in people], np.int64), np.array([p[1] for p in people], np.int64))


def run(scores: np.ndarray, probes: list[Person], gallery: list[Person], by: Scorer) -> Outcome:
    table = np.asarray(scores, np.float32).reshape(len(probes), len(gallery))
    return by(lambda start, stop: table[start:stop], labels(probes), labels(gallery))


def judge(ranked: list[tuple[float, bool]]) -> tuple[int, float, float]:
    """First rank, average precision and INP of (score, is it a match); impostors come first in a tie."""
    order = sorted(ranked, key=lambda item: (-item[0], item[1]))
    hits, precisions, last = 0, [], 0
    for rank, (_, match) in enumerate(order, start=1):
        if match:
            hits += 1
            precisions.append(hits / rank)
            last = rank
    if not hits:
        return NO_MATCH, 0.0, 0.0
    first = next(rank for rank, (_, match) in enumerate(order, start=1) if match)
    return first, sum(precisions) / hits, hits / last


def oracle_all_images(scores: np.ndarray, probes: list[Person], gallery: list[Person]) -> list:
    judged = []
    for row, (identity, camera) in zip(scores, probes, strict=True):
        ranked = []
        for score, (other, other_camera) in zip(row, gallery, strict=True):
            if other == -1 or (other == identity and other_camera == camera):
                continue
            ranked.append((float(score), other == identity))
        judged.append(judge(ranked))
    return judged


def oracle_single_shot(
    scores: np.ndarray, probes: list[Person], gallery: list[Person], place: np.ndarray
) -> list:
    judged = []
    for row, (identity, camera) in zip(scores, probes, strict=True):
        drawn: dict[int, int] = {}
        for image in np.argsort(place):
            other, other_camera = gallery[image]
            if other in (-1, 0) or (other == identity and other_camera == camera):
                continue
            drawn.setdefault(other, int(image))
        judged.append(judge([(float(row[image]), other == identity) for other, image in drawn.items()]))
    return judged


def assert_same(outcome: Outcome, draw: int, judged: list) -> None:
    assert outcome.first_match[draw].tolist() == [first for first, _, _ in judged]
    np.testing.assert_allclose(outcome.average_precision[draw], [ap for _, ap, _ in judged], atol=1e-12)
    np.testing.assert_allclose(outcome.inverse_penalty[draw], [inp for _, _, inp in judged], atol=1e-12)


people = st.tuples(st.integers(-1, 3), st.integers(1, 2))
seen = st.tuples(st.integers(1, 4), st.integers(1, 2))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_both_scorers_equal_the_oracle_where_ties_abound(data: st.DataObject) -> None:
    probes = data.draw(st.lists(seen, min_size=1, max_size=4))
    gallery = data.draw(st.lists(people, min_size=1, max_size=12))
    size = len(probes) * len(gallery)
    levels = data.draw(st.lists(st.integers(-2, 2), min_size=size, max_size=size))
    scores = np.array(levels, np.float32).reshape(len(probes), len(gallery))
    assert_same(run(scores, probes, gallery, Market1501()), 0, oracle_all_images(scores, probes, gallery))
    drawn = run(scores, probes, gallery, SingleShot(3, seed=7))
    generator = np.random.default_rng(7)
    for draw in range(3):
        place = generator.permutation(len(gallery))
        assert_same(drawn, draw, oracle_single_shot(scores, probes, gallery, place))


def test_both_scorers_equal_the_oracle_on_vectors_across_chunks() -> None:
    generator = np.random.default_rng(0)

    def side(count: int, lowest: int) -> tuple[np.ndarray, list[Person]]:
        vectors = generator.standard_normal((count, 8)).astype(np.float32)
        who = [(int(generator.integers(lowest, 9)), int(generator.integers(1, 4))) for _ in range(count)]
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), who

    (a, probes), (b, gallery) = side(150, 1), side(200, -1)
    rows = inner_products(a, b)
    table = np.concatenate([rows(s, min(s + 64, 150)) for s in range(0, 150, 64)])
    outcome = Market1501()(rows, labels(probes), labels(gallery))
    assert_same(outcome, 0, oracle_all_images(table, probes, gallery))


def test_a_hand_computed_ranking() -> None:
    # ranks: 1 impostor, 2 match, 3 impostor, 4 match; junk and the own camera above them do not count
    gallery = [(5, 2), (1, 2), (6, 2), (1, 3), (-1, 2), (1, 1)]
    outcome = run(np.array([0.8, 0.7, 0.6, 0.5, 0.9, 0.95]), [(1, 1)], gallery, Market1501())
    assert outcome.first_match.tolist() == [[2]]
    assert outcome.average_precision[0, 0] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert outcome.inverse_penalty[0, 0] == pytest.approx(2 / 4)


def test_a_constant_encoder_scores_nothing() -> None:
    gallery = [(identity, 2) for identity in range(1, 31)]
    for by in (Market1501(), SingleShot(2)):
        outcome = run(np.ones(30), [(1, 1)], gallery, by)
        assert (outcome.first_match == 30).all()


@pytest.mark.parametrize(
    "gallery",
    [[(-1, 2)], [(1, 1)], [(0, 2), (-1, 1)], [(2, 2)]],
    ids=["junk", "own camera", "nobody", "other"],
)
@pytest.mark.parametrize("by", [Market1501(), SingleShot(2)])
def test_a_probe_without_a_match_is_counted_not_scored(gallery: list[Person], by: Scorer) -> None:
    outcome = run(np.zeros(len(gallery)), [(1, 1)], gallery, by)
    assert (outcome.first_match == NO_MATCH).all()
    with pytest.raises(ValueError, match="none of the 1 probes"):
        summarise(outcome)


def test_a_gallery_of_one_image() -> None:
    for by in (Market1501(), SingleShot(2)):
        summary = summarise(run(np.zeros((2, 1)), [(1, 1), (2, 1)], [(1, 2)], by))
        assert (summary.mean.probes, summary.mean.without_match) == (1, 1)
        assert (summary.mean.rank1, summary.mean.map, summary.mean.minp) == (100, 100, 100)


def test_a_shuffled_gallery_ranks_the_same() -> None:
    generator = np.random.default_rng(3)
    gallery = [(int(generator.integers(-1, 4)), int(generator.integers(1, 3))) for _ in range(40)]
    probes, scores = [(1, 1), (2, 2), (3, 1)], generator.integers(0, 5, (3, 40)).astype(np.float32)
    order = generator.permutation(40)
    before = run(scores, probes, gallery, Market1501())
    after = run(scores[:, order], probes, [gallery[i] for i in order], Market1501())
    assert (before.first_match == after.first_match).all()
    np.testing.assert_allclose(before.average_precision, after.average_precision)


def test_single_shot_repeats_exactly_and_its_draws_differ() -> None:
    generator = np.random.default_rng(1)
    gallery = [(identity, camera) for identity in range(1, 20) for camera in (2, 2, 3)]
    probes = [(identity, 1) for identity in range(1, 20)]
    scores = generator.random((19, len(gallery)))
    one, two = (run(scores, probes, gallery, SingleShot(10, seed=4)) for _ in range(2))
    assert (one.first_match == two.first_match).all()
    assert len({tuple(draw) for draw in one.first_match.tolist()}) == 10
    deviation = summarise(one).deviation
    assert deviation is not None and deviation.rank1 > 0
    per_draw = [100 * (draw == 1).mean() for draw in one.first_match]
    assert summarise(one).mean.rank1 == pytest.approx(np.mean(per_draw))
    assert deviation.rank1 == pytest.approx(np.std(per_draw, ddof=1))
    assert (run(scores, probes, gallery, SingleShot(10, seed=5)).first_match != one.first_match).any()


def test_subsets_and_curves() -> None:
    outcome = Outcome(np.array([[1, 3, 20, NO_MATCH]]), np.array([[1.0, 0.4, 0.1, 0]]), np.zeros((1, 4)))
    whole = summarise(outcome).mean
    assert (whole.probes, whole.without_match) == (3, 1)
    assert whole.rank1 == pytest.approx(100 / 3) and whole.rank10 == pytest.approx(200 / 3)
    assert whole.map == pytest.approx(50)
    part = summarise(outcome, np.array([False, True, True, False])).mean
    assert (part.probes, part.rank1, part.rank5) == (2, 0, 50)
    assert cmc(outcome, 3).tolist() == pytest.approx([100 / 3, 100 / 3, 200 / 3])


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        run(np.array([np.nan, 1]), [(1, 1)], [(1, 2), (2, 2)], Market1501())


def test_scorers_by_name() -> None:
    assert scorer(ScorerName.MARKET1501).name == "market1501"
    assert scorer(ScorerName.SINGLE_SHOT, repeats=3, seed=1).name == "single_shot(repeats=3, seed=1)"
    with pytest.raises(ValueError, match="at least one repeat"):
        run(np.zeros(1), [(1, 1)], [(1, 2)], SingleShot(0))
