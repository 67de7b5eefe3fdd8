"""Changes a gallery until it is killed, and writes to a file what it begins and what was acknowledged.

Runs in a fork (tests.support.zygote). Each thread has people of its own, so that at most one change of each thread
is in the balance when the kill comes.
"""

import hashlib
import itertools
import json
import os
import threading
import time
from pathlib import Path

import numpy as np

import index.database
import index.maintenance
from index import Enrolment, Gallery, Image, open_gallery
from index.types import Vectors

DIMENSION, THREADS, PEOPLE, BUNDLE = 32, 3, 6, "0123456789abcdef"
State = dict[str, list[str]]  # identity: content hashes


def opened(path: Path | str) -> Gallery:
    return open_gallery(f"sqlite:///{path}", bundle_id=BUNDLE, dimension=DIMENSION)


def vector(content_hash: str, dimension: int = DIMENSION) -> Vectors:
    """The vector that belongs to a content, so that a wrong one is found out."""
    seed = int.from_bytes(hashlib.sha256(content_hash.encode()).digest()[:8], "big")
    row = np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)
    return row / np.linalg.norm(row)


def picture(content_hash: str) -> Image:
    """From one page to thirty."""
    return Image(content_hash.encode() * (300 + 100 * (sum(content_hash.encode()) % 100)), "image/png")


def enrolment(identity: str, content: str) -> Enrolment:
    return Enrolment(identity, vector(content), content, image=picture(content))


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


def work(path: str, said: str, seed: int, upkeep: bool = False, close_after: float | None = None) -> None:
    """`upkeep`: the file is shrunk all the time, and backups are taken. `close_after`: it is closed after so long."""
    log, stop = os.open(said, os.O_WRONLY | os.O_APPEND), threading.Event()
    if upkeep:
        index.maintenance.PERIOD_SECONDS, index.database._EMPTY_PAGES = 0.002, 10
    gallery = opened(path)

    def say(thread: int, word: str, change: list[str]) -> None:
        os.write(log, (json.dumps([thread, word, change]) + "\n").encode())  # one write, so lines do not mix

    def changes(thread: int) -> None:
        rng, count = np.random.default_rng([seed, thread]), 0
        while not stop.is_set():
            names = [f"t{thread} p{number}" for number in rng.permutation(PEOPLE)[:2]]
            known = {item.identity for item in gallery.identities(prefix=f"t{thread} ").items}
            kind = rng.choice(["add", "add", "add", "remove", "remove", "remove image", "rename"])
            if kind != "add" and names[0] not in known:
                continue
            if kind == "add":
                hashes = [f"{seed} {thread} {count + one}" for one in range(int(rng.integers(1, 5)))]
                count += len(hashes)
                change = ["add", names[0], *hashes]
                say(thread, "begin", change)
                gallery.add([enrolment(names[0], content) for content in hashes])
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

    def backups(_: int) -> None:
        for number in itertools.count():
            gallery.backup(Path(path).with_name(f"backup {seed} {number}"))

    jobs = [(changes, thread) for thread in range(THREADS)] + ([(backups, THREADS)] if upkeep else [])
    threads = [threading.Thread(target=job, args=(number,), daemon=True) for job, number in jobs]
    threading.excepthook = _fail
    for thread in threads:
        thread.start()
    if close_after is not None:
        while not os.fstat(log).st_size:
            time.sleep(0.001)
        time.sleep(close_after)
        stop.set()
        for thread in threads:
            thread.join()
        gallery.close()
    time.sleep(600)


def _fail(failure: threading.ExceptHookArgs) -> None:
    threading.__excepthook__(failure)
    os._exit(1)
