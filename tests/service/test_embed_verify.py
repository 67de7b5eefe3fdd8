"""Vectors are the runtime's own; verification compares images, identities and vectors."""

import io

import httpx
import numpy as np
import pytest
from PIL import Image

from model.bundle.preprocessing import ImageLimits, decode, resize
from model.bundle.routing import route
from model.bundle.runtime import Runtime
from tests.service.conftest import Enrol
from tests.support.live import Live
from tests.support.pictures import encoded, low_resolution, person

URN = "urn:dgrl:problem:"


def by_hand(runtime: Runtime, data: bytes) -> np.ndarray:
    """The embedding of one upload, through the bundle's own functions alone."""
    image = decode(data, ImageLimits())
    way = route(image.height, runtime.manifest)
    spec = runtime.manifest.preprocessing
    if way.scale is not None and way.bucket is not None:
        image = Image.fromarray(runtime.super_resolve(resize(image, *way.bucket)[None], way.scale)[0])
    return runtime.embed(resize(image, spec.height, spec.width)[None], way.branch)[0]


@pytest.mark.parametrize("ratio", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP"])
def test_the_service_embeds_as_the_runtime_does(
    client: httpx.Client, live: Live, ratio: int, kind: str
) -> None:
    data = encoded(low_resolution(person(3), ratio), kind)
    answer = client.post("/embed", files={"images": data}).json()
    vector = np.array(answer["embeddings"][0]["vector"], np.float32)
    np.testing.assert_allclose(vector, by_hand(live.services.inference.runtime, data), atol=1e-6)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert answer["dimension"] == len(vector) == 16


def test_several_images_keep_their_order(client: httpx.Client, live: Live) -> None:
    crops = [encoded(low_resolution(person(n), 1 + n % 4)) for n in range(11)]
    answer = client.post("/embed", files=[("images", crop) for crop in crops]).json()
    expected = [by_hand(live.services.inference.runtime, crop) for crop in crops]
    np.testing.assert_allclose([e["vector"] for e in answer["embeddings"]], expected, atol=1e-6)


def test_a_turned_photo_is_the_upright_one(client: httpx.Client) -> None:
    upright = person(5)
    turned = upright.transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn right to see it upright"
    file = io.BytesIO()
    turned.save(file, "PNG", exif=exif)
    answer = client.post("/embed", files=[("images", encoded(upright)), ("images", file.getvalue())]).json()
    first, second = (e["vector"] for e in answer["embeddings"])
    assert np.dot(first, second) > 0.999


@pytest.fixture
def anna(enrol: Enrol) -> None:
    enrol("anna", (1,))
    enrol("bert", (2,))


def verify(client: httpx.Client, images: list[bytes], **fields: str) -> httpx.Response:
    return client.post("/verify", files=[("images", i) for i in images] or {"x": None}, data=fields)


def test_image_against_image(client: httpx.Client) -> None:
    same = verify(client, [encoded(person(1)), encoded(low_resolution(person(1, variant=1), 4))]).json()
    other = verify(client, [encoded(person(1)), encoded(low_resolution(person(2, variant=1), 4))]).json()
    assert same["same"] is True and other["same"] is False
    assert same["score"] > other["score"] and same["probability"] > other["probability"]
    assert same["identity"] is None and len(same["probes"]) == 2


@pytest.mark.usefixtures("anna")
def test_image_against_identity(client: httpx.Client) -> None:
    crop = encoded(low_resolution(person(1, variant=1), 4))
    assert verify(client, [crop], identity="anna").json()["same"] is True
    other = verify(client, [crop], identity="bert").json()
    assert other["same"] is False and other["images"][0]["score"] == other["score"]
    unknown = verify(client, [crop], identity="carla")
    assert unknown.status_code == 404 and unknown.json()["type"] == URN + "unknown-identity"


@pytest.mark.usefixtures("anna")
def test_vector_against_identity(client: httpx.Client) -> None:
    made = client.post("/embed", files={"images": encoded(person(1))}).json()
    vector, bundle = made["embeddings"][0]["vector"], made["bundle"]
    body = {"embedding": vector, "bundle": bundle, "identity": "anna"}
    answer = client.post("/verify", json=body).json()
    assert answer["score"] > 0.999
    assert answer["same"] is None and "no height" in answer["calibration"]["note"]
    foreign = client.post("/verify", json={**body, "bundle": "another"})
    assert foreign.status_code == 409 and foreign.json()["type"] == URN + "bundle-mismatch"
    for bad in ({"embedding": vector[:-1]}, {"embedding": [2 * x for x in vector]}, {"bundle": None}):
        assert client.post("/verify", json={**body, **bad}).status_code == 422


@pytest.mark.parametrize("images", [0, 1, 3])
def test_verify_needs_two_sides(client: httpx.Client, images: int) -> None:
    answer = client.post("/verify", json={"images": ["aGk="] * images})
    assert answer.status_code == 422 and answer.json()["errors"][0]["field"] == "images"
