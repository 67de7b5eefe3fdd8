"""Every accepted kind of picture goes through enrolment and query, and finds itself."""

import io

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.support.pictures import encoded, person


def sixteen_bit_grey() -> bytes:
    grey = np.asarray(person(1).convert("L")).astype(np.uint16) * 257
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG")
    return file.getvalue()


def animated_webp() -> bytes:
    file = io.BytesIO()
    person(1).save(file, "WEBP", save_all=True, append_images=[person(2)], lossless=True)
    return file.getvalue()


PICTURES = {
    "JPEG": encoded(person(1), "JPEG", quality=95),
    "progressive JPEG": encoded(person(1), "JPEG", progressive=True),
    "CMYK JPEG": encoded(person(1).convert("CMYK"), "JPEG"),
    "grey JPEG": encoded(person(1).convert("L"), "JPEG"),
    "PNG": encoded(person(1)),
    "PNG with alpha": encoded(person(1).convert("RGBA")),
    "palette PNG": encoded(person(1).convert("P")),
    "1-bit PNG": encoded(person(1).convert("1")),
    "16-bit PNG": sixteen_bit_grey(),
    "WebP": encoded(person(1), "WEBP"),
    "animated WebP": animated_webp(),
    "BMP": encoded(person(1), "BMP"),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_it_is_enrolled_and_found(client: httpx.Client, kind: str) -> None:
    files = {"images": ("any name at all", PICTURES[kind], "application/octet-stream")}
    enrolled = client.post("/gallery", files=files, data={"identity": "anna"})
    assert enrolled.status_code == 201, enrolled.text
    [image] = client.get("/gallery/anna").json()["images"]
    assert image["media_type"] == f"image/{kind.split()[-1].lower() if 'with' not in kind else 'png'}"
    [match] = client.post("/query", files=files).json()["matches"]
    assert match["identity"] == "anna" and match["score"] > 0.999
    stored = client.get(f"/gallery/anna/images/{image['image_id']}")
    assert stored.content == PICTURES[kind] and stored.headers["content-type"] == image["media_type"]
