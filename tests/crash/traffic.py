"""The requests that clients send to the service under test, and what they make of its answers."""

from typing import NamedTuple
from urllib.parse import quote

import httpx
import numpy as np

from tests.crash.people import Change, Client


def work_until_killed(url: str, client: Client, seed: int) -> None:
    """Changes and queries at random. Returns when the service is gone, or at the first fault."""
    rng = np.random.default_rng([seed, client.number])
    with connected(url) as http:
        while not client.faults:
            try:
                if (wanted := client.next_change(rng)) is None:
                    _query(http, client, rng)
                else:
                    change(http, client, wanted)
            except httpx.TransportError:
                return  # what was not answered stays in the balance


def connected(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, timeout=60, verify=False)  # loading certificates takes 0.1 s


def address(identity: str, image_id: str | None = None) -> str:
    return f"/gallery/{quote(identity, safe='')}" + (f"/images/{image_id}" if image_id else "")


def change(http: httpx.Client, client: Client, change: Change) -> None:
    client.begun = change
    answer = _send(http, client, change)
    if answer.is_success and change.kind == "enrol":
        images = answer.json()["images"]
        client.image_ids |= {p: image["image_id"] for p, image in zip(change.pictures, images, strict=True)}
        whole = all(image["status"] == "enrolled" for image in images)
    elif answer.is_success and change.new:
        whole = answer.json()["images"] == len(client.state[change.identity])
    else:
        whole = answer.status_code == 204
    if whole:
        client.acknowledged()
    else:
        client.faults.append(f"unexpected answer to {change}: {answer.status_code} {answer.text}")


def _send(http: httpx.Client, client: Client, change: Change) -> httpx.Response:
    if change.kind == "enrol":
        files = [("images", ("crop.png", client.picture(name))) for name in change.pictures]
        return http.post("/gallery", files=files, data={"identity": change.identity})
    if change.new:
        return http.patch(address(change.identity), json={"identity": change.new})
    image_id = client.image_ids[change.pictures[0]] if change.pictures else None
    return http.delete(address(change.identity, image_id))


def _query(http: httpx.Client, client: Client, rng: np.random.Generator) -> None:
    """For someone who is there, or for someone who is not there any more."""
    if client.state and rng.random() < 0.7:
        identity = str(rng.choice(sorted(client.state)))
        check_found(http, client, identity, str(rng.choice(sorted(client.state[identity]))))
    elif client.dead:
        check_gone(http, client, str(rng.choice(list(client.dead)[-20:])))
    else:
        return
    client.done["query"] += 1


class Best(NamedTuple):
    identity: str | None
    image_id: str | None
    score: float


def check_found(http: httpx.Client, client: Client, identity: str, name: str) -> None:
    """The picture finds the person whose it is now, by way of itself."""
    best, image_id = _best(http, client.picture(name)), client.image_ids[name]
    if (best.identity, best.image_id) != (identity, image_id) or best.score <= 0.999:
        client.faults.append(f"wrong identity: image {image_id} of {identity!r} found {best}")


def check_gone(http: httpx.Client, client: Client, name: str) -> None:
    """A deleted picture finds nobody, and cannot be had, whether its person is still there or not."""
    identity, image_id = client.dead[name], client.image_ids.get(name)
    best = _best(http, client.picture(name))
    if best.score > 0.999:
        client.faults.append(f"returned: deleted image {image_id} of {identity!r} finds {best}")
    if image_id and http.get(address(identity, image_id)).status_code != 404:
        client.faults.append(f"returned: deleted image {image_id} of {identity!r} can be downloaded")


def _best(http: httpx.Client, picture: bytes) -> Best:
    answer = http.post("/query", files={"images": picture}, data={"top_k": 1}).raise_for_status()
    if not (matches := answer.json()["matches"]):
        return Best(None, None, -1.0)
    [match] = matches
    return Best(match["identity"], match["images"][0]["image_id"], match["score"])
