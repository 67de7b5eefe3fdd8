"""Small crops against the gallery: the right person first, filters, fusion, scores that mean something."""

import base64
import io

import httpx
import numpy as np
import pytest
from PIL import Image

from index import Enrolment
from tests.service.conftest import Enrol
from tests.support.live import Live
from tests.support.pictures import encoded, low_resolution, person

URN = "urn:dgrl:problem:"
PEOPLE = range(8)


@pytest.fixture
def people(enrol: Enrol) -> None:
    for number in PEOPLE:
        enrol(
            f"p{number}", (number,), camera=f"c{number % 2}", captured_at=f"2026-03-0{number + 1}T00:00:00Z"
        )


def ask(client: httpx.Client, *pictures: bytes, **fields: str) -> dict[str, object]:
    answer = client.post("/query", files=[("images", p) for p in pictures], data=fields)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def probe(number: int, ratio: int = 4, variant: int = 1) -> bytes:
    return encoded(low_resolution(person(number, variant=variant), ratio))


@pytest.mark.parametrize("ratio", [2, 3, 4])
@pytest.mark.usefixtures("people")
def test_the_right_person_ranks_first(client: httpx.Client, ratio: int) -> None:
    for number in PEOPLE:
        answer = ask(client, probe(number, ratio))
        assert answer["matches"][0]["identity"] == f"p{number}"
        assert answer["probe"]["scale"] == ratio and answer["probe"]["branch"] == "sr"
        assert answer["probe"]["height"] == 64 // ratio


@pytest.mark.usefixtures("people")
def test_a_sharp_probe_skips_super_resolution(client: httpx.Client) -> None:
    answer = ask(client, encoded(person(3)))
    assert answer["probe"]["scale"] is None and answer["probe"]["branch"] == "hr"
    assert answer["matches"][0]["identity"] == "p3" and answer["matches"][0]["score"] > 0.999
    assert answer["timing_ms"]["super_resolve"] < answer["timing_ms"]["embed"]


@pytest.mark.usefixtures("people")
def test_the_answer_says_what_its_scores_rest_on(client: httpx.Client, live: Live) -> None:
    answer = ask(client, probe(2), top_k="3")
    assert [match["rank"] for match in answer["matches"]] == [1, 2, 3]
    scores = [match["score"] for match in answer["matches"]]
    assert scores == sorted(scores, reverse=True) and all(-1 <= score <= 1 for score in scores)
    calibration = live.services.calibration
    for match in answer["matches"]:
        assert match["probability"] == pytest.approx(calibration.probability(match["score"], 16))
        assert match["match"] == (match["score"] >= 0.95)
        assert match["images"][0]["score"] == match["score"]
    assert answer["calibration"] == {"far": 1e-3, "threshold": 0.95, "low": 0.94, "high": 0.96, "note": None}
    assert answer["bundle"] == live.services.manifest.bundle_id and answer["aggregation"] == "best image"
    times = answer["timing_ms"]
    assert set(times) == {"decode", "super_resolve", "embed", "search", "queue", "total"}
    assert all(times[stage] > 0 for stage in ("decode", "super_resolve", "embed", "search"))
    assert sum(times.values()) - times["total"] <= times["total"]


@pytest.mark.usefixtures("people")
def test_filters(client: httpx.Client) -> None:
    def found(**fields: str) -> set[str]:
        return {match["identity"] for match in ask(client, probe(0), **fields)["matches"]}

    assert found(camera="c1") == {"p1", "p3", "p5", "p7"}
    assert found(exclude_camera="c1") == {"p0", "p2", "p4", "p6"}
    assert found(since="2026-03-07T00:00:00Z") == {"p6", "p7"}
    assert found(until="2026-03-03T00:00:00Z") == {"p0", "p1"}
    assert found(camera="c7") == set()
    assert found(min_score="0.9") == {"p0"}


@pytest.mark.usefixtures("people")
def test_an_identity_prefix_is_a_filter(client: httpx.Client, enrol: Enrol) -> None:
    enrol("\u00e9lise", (3,))
    found = ask(client, probe(3), prefix="e\u0301")["matches"]
    assert [match["identity"] for match in found] == ["\u00e9lise"]
    assert len(ask(client, probe(3), prefix="p")["matches"]) == 8
    assert ask(client, probe(3), prefix="P")["matches"] == []


def test_metadata_is_a_filter(client: httpx.Client, enrol: Enrol) -> None:
    for number, metadata in enumerate(
        ['{"run": 3, "night": true}', '{"run": 3, "night": false}', '{"run": "3"}']
    ):
        enrol(f"p{number}", (number,), metadata=metadata)

    def found(metadata: object) -> list[str]:
        coded = base64.b64encode(probe(0)).decode()
        answer = client.post("/query", json={"images": [coded], "metadata": metadata})
        return sorted(match["identity"] for match in answer.json()["matches"])

    assert found({"run": 3}) == ["p0", "p1"] and found({"run": "3"}) == ["p2"]
    assert found({"run": 3, "night": True}) == ["p0"] and found({"night": 1}) == []
    assert found({"weather": None}) == []
    form = ask(client, probe(0), metadata='{"run": 3, "night": false}', camera="")
    assert [match["identity"] for match in form["matches"]] == ["p1"]


def test_half_a_surrogate_pair_in_a_filter_is_refused(client: httpx.Client) -> None:
    picture = base64.b64encode(probe(0)).decode()
    for field in ('"prefix": "\\ud800"', '"metadata": {"a": "\\udfff"}', '"metadata": {"\\ud800": 1}'):
        body = f'{{"images": ["{picture}"], {field}}}'
        answer = client.post("/query", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422 and "surrogate" in answer.json()["detail"]


def test_reranked_answers_say_so(client: httpx.Client, live: Live) -> None:
    """Clusters of vectors, so that neighbours of neighbours change the order."""
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((4, 16))
    rows = (centres[rng.integers(0, 4, 40)] + 0.6 * rng.standard_normal((40, 16))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    gallery = live.services.gallery
    gallery.add([Enrolment(f"p{number % 20}", row, f"{number}") for number, row in enumerate(rows)])
    plain, again = ask(client, probe(1), top_k="20"), ask(client, probe(1), top_k="20", rerank="true")
    assert plain["order"] == "score" and again["order"] == "k-reciprocal"
    [vector] = client.post("/embed", files={"images": probe(1)}).json()["embeddings"]
    [expected] = gallery.search(np.array([vector["vector"]], np.float32), 20, rerank=True)
    names = [match["identity"] for match in again["matches"]]
    assert names == [match.identity for match in expected]
    assert names != [match["identity"] for match in plain["matches"]] and len(names) == 20
    scores = {match["identity"]: match["score"] for match in plain["matches"]}
    assert all(match["score"] == scores[match["identity"]] for match in again["matches"])


@pytest.mark.usefixtures("people")
def test_repeated_cameras_are_all_meant(client: httpx.Client) -> None:
    answer = client.post("/query", files={"images": probe(0)}, data={"camera": ["c0", "c1"]})
    assert len(answer.json()["matches"]) == 8


@pytest.mark.usefixtures("people")
def test_a_tracklet_is_the_mean_of_its_vectors(client: httpx.Client) -> None:
    crops = [probe(5, ratio, variant) for ratio, variant in ((4, 1), (2, 2), (3, 3))]
    vectors = [client.post("/embed", files={"images": c}).json()["embeddings"][0]["vector"] for c in crops]
    mean = np.mean(vectors, axis=0)
    gallery = client.post("/embed", files={"images": encoded(person(5))}).json()["embeddings"][0]["vector"]
    answer = ask(client, *crops)
    assert answer["matches"][0]["identity"] == "p5"
    expected = np.float32(gallery).astype(np.float16) @ (mean / np.linalg.norm(mean))
    assert answer["matches"][0]["score"] == pytest.approx(expected, abs=1e-4)
    assert [p["scale"] for p in answer["probes"]] == [4, 2, 3]
    assert answer["probe"]["height"] == 21  # the median


@pytest.mark.usefixtures("people")
def test_the_super_resolved_crop_on_request(client: httpx.Client) -> None:
    assert ask(client, probe(1))["probe"]["super_resolved"] is None
    text = ask(client, probe(1), return_super_resolved="true")["probe"]["super_resolved"]
    assert Image.open(io.BytesIO(base64.b64decode(text))).size == (32, 64)


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("asked", "scale", "branch"), [("off", None, "sr"), ("2", 2, "sr"), ("auto", 4, "sr")]
)
def test_super_resolution_as_asked(client: httpx.Client, asked: str, scale: int | None, branch: str) -> None:
    answer = ask(client, probe(1), super_resolution=asked)
    assert (answer["probe"]["scale"], answer["probe"]["branch"]) == (scale, branch)


@pytest.mark.usefixtures("people")
def test_json_and_raw_bodies_give_the_same_answer(client: httpx.Client) -> None:
    expected = ask(client, probe(4), top_k="2")["matches"]
    coded = base64.b64encode(probe(4)).decode()
    as_json = client.post("/query", json={"images": [coded], "top_k": 2})
    raw = client.post("/query?top_k=2", content=probe(4), headers={"Content-Type": "image/png"})
    assert as_json.json()["matches"] == expected and raw.json()["matches"] == expected


def test_an_empty_gallery_answers_with_nobody(client: httpx.Client) -> None:
    assert ask(client, probe(0))["matches"] == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("top_k", "0"),
        ("top_k", "1001"),
        ("top_k", "many"),
        ("min_score", "2"),
        ("super_resolution", "5"),
        ("since", "now"),
        ("rerank", "often"),
        ("prefix", "x" * 129),
        ("metadata", "[1]"),
        ("metadata", '{"a": [1]}'),
        ("metadata", '{"a": NaN}'),
        ("topk", "3"),
    ],
)
def test_a_wrong_field_is_named(client: httpx.Client, field: str, value: str) -> None:
    answer = client.post("/query", files={"images": probe(0)}, data={field: value})
    assert answer.status_code == 422 and answer.json()["type"] == URN + "invalid-fields"
    assert answer.json()["errors"][0]["field"] == field


def test_a_bad_crop_of_a_tracklet_is_named(client: httpx.Client) -> None:
    answer = client.post("/query", files=[("images", probe(0)), ("images", b"")])
    assert answer.status_code == 422 and answer.json()["type"] == URN + "image-undecodable"
    assert answer.json()["image"] == 1


def test_a_query_string_beside_a_form_is_refused_not_ignored(client: httpx.Client) -> None:
    answer = client.post("/query?top_k=2", files={"images": probe(0)})
    assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == "top_k"
