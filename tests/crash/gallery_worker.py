"""Changes a gallery until it is killed, and says on standard output what it begins and what was acknowledged.

Run as `python -m tests.crash.gallery_worker PATH SEED`. Each thread has people of its own, so that at most one
change of each thread is in the balance when the kill comes.
"""

import hashlib
import json
import os
import sys
import threading

import numpy as np

from index import Enrolment, open_gallery
from index.types import Vectors

DIMENSION, THREADS, PEOPLE, BUNDLE = 32, 3, 6, "0123456789abcdef"
State = dict[str, list[str]]  # identity: content hashes


def vector(content_hash: str) -> Vectors:
    """The vector that belongs to a content, so that a wrong one is found out."""
    seed = int.from_bytes(hashlib.sha256(content_hash.encode()).digest()[:8], "big")
    row = np.random.default_rng(seed).standard_normal(DIMENSION).astype(np.float32)
    return row / np.linalg.norm(row)


def after(state: State, change: list[str]) -> State:
    """What the gallery holds of a thread's people after a change."""
    kind, identity, *rest = change
    state = {name: list(hashes) for name, hashes in state.items()}
    if kind == "add":
        state.setdefault(identity, []).extend(rest)
    elif kind == "remove":
        state.pop(identity, None)
    elif kind == "remove image":
        state[identity].remove(rest[0])
    elif kind == "rename" and identity != rest[0]:
        state.setdefault(rest[0], []).extend(state.pop(identity))
    return {name: hashes for name, hashes in state.items() if hashes}


def say(thread: int, word: str, change: list[str]) -> None:
    os.write(1, (json.dumps([thread, word, change]) + "\n").encode())  # one write, so lines do not mix


def work(path: str, seed: int) -> None:
    gallery = open_gallery(f"sqlite:///{path}", bundle_id=BUNDLE, dimension=DIMENSION)

    def changes(thread: int) -> None:
        rng, count = np.random.default_rng([seed, thread]), 0
        while True:
            names = [f"t{thread} p{number}" for number in rng.permutation(PEOPLE)[:2]]
            known = {item.identity for item in gallery.identities(prefix=f"t{thread} ").items}
            kind = rng.choice(["add", "add", "add", "remove", "remove image", "rename"])
            if kind != "add" and names[0] not in known:
                continue
            if kind == "add":
                hashes = [f"{seed} {thread} {count + one}" for one in range(int(rng.integers(1, 5)))]
                count += len(hashes)
                change = ["add", names[0], *hashes]
                say(thread, "begin", change)
                gallery.add([Enrolment(names[0], vector(content), content) for content in hashes])
            elif kind == "remove":
                change = ["remove", names[0]]
                say(thread, "begin", change)
                gallery.remove_identity(names[0])
            elif kind == "remove image":
                image = gallery.images(names[0]).items[0]
                change = ["remove image", names[0], image.content_hash]
                say(thread, "begin", change)
                gallery.remove_image(names[0], image.image_id)
            else:
                change = ["rename", *names]
                say(thread, "begin", change)
                gallery.rename(*names)
            say(thread, "done", change)

    threads = [threading.Thread(target=changes, args=(thread,)) for thread in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    work(sys.argv[1], int(sys.argv[2]))
