"""After a restart: is all that was acknowledged there, nothing that was deleted, and no picture another's?"""

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import httpx

from tests.crash.people import Client, State
from tests.crash.traffic import address, check_found, check_gone, connected

LONG_DEAD = 8  # of those deleted in earlier rounds, how many are looked for
Listing = dict[str, dict[str, str]]  # identity: image ids by sha256


def verify(url: str, clients: Sequence[Client], seed: int) -> None:
    """Leaves what is wrong in the clients' `faults`, and settles what was in the balance."""
    with connected(url) as http:
        listing = {name: dict(_images(http, name)) for name in _identities(http)}
        counts = http.get("/model").json()["gallery"]
    if counts != {"identities": len(listing), "images": sum(map(len, listing.values()))}:
        clients[0].faults.append(f"the gallery counts {counts}, and lists {listing}")
    if strangers := [name for name in listing if not any(name.startswith(one.prefix) for one in clients)]:
        clients[0].faults.append(f"nobody enrolled {strangers}")
    with ThreadPoolExecutor(len(clients)) as pool:
        list(pool.map(lambda client: _verify(url, client, listing, seed), clients))


def _identities(http: httpx.Client) -> Iterator[str]:
    for page in _pages(http, "/gallery"):
        yield from (entry["identity"] for entry in page["identities"])


def _images(http: httpx.Client, identity: str) -> Iterator[tuple[str, str]]:
    for page in _pages(http, address(identity)):
        yield from ((image["sha256"], image["image_id"]) for image in page["images"])


def _pages(http: httpx.Client, path: str) -> Iterator[dict[str, list[dict[str, str]]]]:
    cursor: dict[str, str] = {}
    while True:
        page = http.get(path, params={"limit": 1000, **cursor}).raise_for_status().json()
        yield page
        if page["next_cursor"] is None:
            return
        cursor = {"cursor": page["next_cursor"]}


def _verify(url: str, client: Client, listing: Listing, seed: int) -> None:
    own = {name: images for name, images in listing.items() if name.startswith(client.prefix)}
    now = {name: frozenset(images) for name, images in own.items()}
    client.faults += differences(now, client.allowed)
    if client.begun is not None:
        client.done["in the balance: there" if now != client.state else "in the balance: not there"] += 1
    before = set(client.dead)
    client.settle(now)
    for name, image_id in (entry for images in own.values() for entry in images.items()):
        if client.image_ids.setdefault(name, image_id) != image_id:
            client.faults.append(f"image {client.image_ids[name]} is now {image_id}")
    dead = sorted(before)
    sample = random.Random(seed).sample(dead, min(LONG_DEAD, len(dead)))
    with connected(url) as http:
        for identity, pictures in now.items():
            for name in pictures:
                stored = http.get(address(identity, client.image_ids[name])).content
                if sha256(stored).hexdigest() != name:
                    client.faults.append(f"the picture of image {client.image_ids[name]} is not its own")
                check_found(http, client, identity, name)
        for name in [*(set(client.dead) - before), *sample]:
            check_gone(http, client, name)


def differences(now: State, allowed: Sequence[State]) -> list[str]:
    """In words: what was acknowledged and is lost, what was deleted and came back, what happened by halves."""
    if now in allowed:
        return []
    here = {name: who for who, pictures in now.items() for name in pictures}
    maybe = [{name: who for who, pictures in state.items() for name in pictures} for state in allowed]
    sure = set(maybe[0]).intersection(*maybe[1:])
    found = [f"lost: {name} of {maybe[0][name]!r}" for name in sorted(sure - set(here))]
    for name, who in here.items():
        owners = {state[name] for state in maybe if name in state}
        if not owners:
            found.append(f"returned: {name} of {who!r}")
        elif who not in owners:
            found.append(f"wrong identity: {name} is with {who!r}")
    return found or [f"by halves: {now}, where one of {allowed} was due"]
