"""Enrol, list, rename, merge, remove: each happy path beside its refusals."""

import hashlib
from urllib.parse import quote

import httpx
import pytest

from tests.service.conftest import Enrol
from tests.support.pictures import encoded, low_resolution, person

URN = "urn:dgrl:problem:"


def test_an_enrolled_image_is_described_and_kept(client: httpx.Client, enrol: Enrol) -> None:
    answer = enrol(
        "anna", (1,), camera="entrance", captured_at="2026-03-01T12:30:00+02:00", metadata='{"run": 3}'
    )
    assert answer.status_code == 201
    [image] = answer.json()["images"]
    assert image["status"] == "enrolled" and image["error"] is None
    assert (
        image["quality"]["height"] == 64
        and image["quality"]["aspect"] == 2.0
        and image["quality"]["flags"] == []
    )

    [listed] = client.get("/gallery/anna").json()["images"]
    assert listed["image_id"] == image["image_id"]
    assert (
        listed["camera"] == "entrance" and listed["metadata"] == {"run": 3} and listed["filename"] == "1.png"
    )
    assert listed["captured_at"] == "2026-03-01T10:30:00Z"
    original = encoded(person(1))
    assert listed["sha256"] == hashlib.sha256(original).hexdigest()
    stored = client.get(f"/gallery/anna/images/{image['image_id']}")
    assert stored.content == original and stored.headers["content-type"] == "image/png"


def test_a_time_without_an_offset_is_utc(client: httpx.Client, enrol: Enrol) -> None:
    enrol("anna", (1,), captured_at="2026-03-01T12:30:00")
    assert client.get("/gallery/anna").json()["images"][0]["captured_at"] == "2026-03-01T12:30:00Z"


def test_the_same_file_again_is_a_duplicate(client: httpx.Client, enrol: Enrol) -> None:
    first = enrol("anna", (1, 2)).json()["images"]
    second = enrol("anna", (2, 3)).json()["images"]
    assert [image["status"] for image in second] == ["duplicate", "enrolled"]
    assert second[0]["image_id"] == first[1]["image_id"]
    assert client.get("/gallery").json()["identities"] == [{"identity": "anna", "images": 3, "cameras": []}]


def test_a_bad_image_does_not_stop_the_good_ones(client: httpx.Client) -> None:
    files = [("images", ("good.png", encoded(person(1)))), ("images", ("bad.jpg", b"no picture"))]
    answer = client.post("/gallery", files=files, data={"identity": "anna"})
    assert answer.status_code == 201
    good, bad = answer.json()["images"]
    assert good["status"] == "enrolled"
    assert bad["status"] == "rejected" and bad["error"]["type"] == URN + "unsupported-media-type"
    assert len(client.get("/gallery/anna").json()["images"]) == 1


def test_nothing_enrolled_lists_each_reason(client: httpx.Client) -> None:
    files = [("images", ("a.png", b"")), ("images", ("b.png", encoded(person(1, 64).resize((4, 8)))))]
    answer = client.post("/gallery", files=files, data={"identity": "anna"})
    assert answer.status_code == 422 and answer.json()["type"] == URN + "nothing-enrolled"
    kinds = [image["error"]["type"] for image in answer.json()["images"]]
    assert kinds == [URN + "image-undecodable", URN + "image-too-small"]
    assert client.get("/gallery").json()["identities"] == []


def test_a_low_and_wide_crop_is_enrolled_but_flagged(client: httpx.Client) -> None:
    small = encoded(low_resolution(person(1), 3).resize((30, 21)))
    answer = client.post("/gallery", files={"images": small}, data={"identity": "anna"})
    assert {"low", "wide"} <= set(answer.json()["images"][0]["quality"]["flags"])
    assert client.get("/gallery/anna").json()["images"][0]["flagged"] is True


def test_a_blurred_crop_is_flagged(client: httpx.Client) -> None:
    blurred = encoded(person(1).resize((4, 8)).resize((32, 64)))
    answer = client.post("/gallery", files={"images": blurred}, data={"identity": "anna"})
    assert answer.json()["images"][0]["quality"]["flags"] == ["blurred"]


def test_listing_goes_page_by_page(client: httpx.Client, enrol: Enrol) -> None:
    names = [f"p{number}" for number in range(7)]
    for number, name in enumerate(names):
        enrol(name, (number,))
    seen, cursor = [], None
    while True:
        page = client.get("/gallery", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        assert len(page["identities"]) <= 3
        seen += [found["identity"] for found in page["identities"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == names
    assert [i["identity"] for i in client.get("/gallery", params={"prefix": "p3"}).json()["identities"]] == [
        "p3"
    ]
    assert client.get("/gallery", params={"cursor": "made up"}).json()["type"] == URN + "invalid-fields"


def test_rename_and_merge(client: httpx.Client, enrol: Enrol) -> None:
    enrol("anna", (1,))
    enrol("bert", (2, 3))
    assert client.patch("/gallery/anna", json={"identity": "carla"}).json() == {
        "identity": "carla",
        "images": 1,
    }
    assert client.get("/gallery/anna").status_code == 404
    assert client.patch("/gallery/bert", json={"identity": "carla"}).json()["images"] == 2
    assert client.get("/gallery").json()["identities"] == [{"identity": "carla", "images": 3, "cameras": []}]
    unknown = client.patch("/gallery/anna", json={"identity": "carla"})
    assert unknown.status_code == 404 and unknown.json()["type"] == URN + "unknown-identity"
    for bad in ({}, {"identity": ""}, {"identity": "x", "more": 1}):
        assert client.patch("/gallery/carla", json=bad).json()["type"] == URN + "invalid-fields"
    assert (
        client.patch("/gallery/carla", content=b"{", headers={"Content-Type": "application/json"}).status_code
        == 400
    )


def test_remove_an_image_then_the_identity(client: httpx.Client, enrol: Enrol) -> None:
    first, _ = (image["image_id"] for image in enrol("anna", (1, 2)).json()["images"])
    address = f"/gallery/anna/images/{first}"
    assert client.delete(address).status_code == 204
    assert client.delete(address).json()["type"] == URN + "unknown-image"
    assert client.get(address).json()["type"] == URN + "unknown-image"
    assert client.delete("/gallery/anna").status_code == 204
    assert client.delete("/gallery/anna").json()["type"] == URN + "unknown-identity"
    assert client.get("/gallery/anna").json()["type"] == URN + "unknown-identity"


NAMES = [
    "../../etc/passwd",
    "a/b/images/7",
    "C:\\windows\\x",
    "%2F%2e%2e",
    "人物 七",
    "👩🏽‍🚀",
    "مريم",
    "O'Brien; DROP TABLE--",
    "?x=1#frag",
    "a" * 128,
]


@pytest.mark.parametrize("name", NAMES)
def test_any_readable_text_is_an_identity_and_never_a_path(
    client: httpx.Client, enrol: Enrol, name: str
) -> None:
    answer = enrol(name, (1,))
    assert answer.status_code == 201 and answer.json()["identity"] == name
    address = f"/gallery/{quote(name, safe='')}"
    [image] = client.get(address).json()["images"]
    assert client.get(f"{address}/images/{image['image_id']}").status_code == 200
    [match] = client.post("/query", files={"images": encoded(person(1))}).json()["matches"]
    assert match["identity"] == name
    assert client.patch(address, json={"identity": f"{name[:100]}!"}).status_code == 200
    assert client.delete(f"/gallery/{quote(name[:100] + '!', safe='')}").status_code == 204


def test_two_spellings_of_one_name_are_one_identity(client: httpx.Client, enrol: Enrol) -> None:
    assert enrol("e\u0301lise", (1,)).json()["identity"] == "\u00e9lise"
    assert client.get(f"/gallery/{quote('e' + chr(0x301) + 'lise')}").status_code == 200


@pytest.mark.parametrize(
    "name", ["", " ", " anna", "a\tb", "a\x00b", "a\nb", ".", "..", "a\u202eb", "a" * 129]
)
def test_an_unreadable_identity_is_refused(client: httpx.Client, enrol: Enrol, name: str) -> None:
    answer = enrol(name, (1,))
    assert answer.status_code == 422 and answer.json()["type"] == URN + "invalid-fields"
    assert answer.json()["errors"][0]["field"] == "identity"
    assert client.get("/gallery").json()["identities"] == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("metadata", "{"),
        ("metadata", "[1]"),
        ("metadata", '{"x": NaN}'),
        ("metadata", '{"x": "' + "y" * 20_000 + '"}'),
        ("captured_at", "yesterday"),
        ("captured_at", "1700000000"),
        ("camera", "a\x01b"),
        ("image_id", "7"),
    ],
)
def test_a_wrong_field_is_named(client: httpx.Client, enrol: Enrol, field: str, value: str) -> None:
    answer = enrol("anna", (1,), **{field: value})
    assert answer.status_code == 422 and answer.json()["type"] == URN + "invalid-fields"
    assert answer.json()["errors"][0]["field"] == field
    assert client.get("/gallery").json()["identities"] == []
