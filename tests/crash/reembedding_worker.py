"""Moves a gallery from one bundle to the other and back until it is killed. Runs in a fork (tests.support.zygote)."""

import os
from pathlib import Path

import index.maintenance
from index import Gallery, WrongBundle, open_gallery
from tests.crash.gallery_worker import vector

BUNDLES = {"0123456789abcdef": 16, "fedcba9876543210": 24}  # with their dimensions


def opened(path: Path | str) -> Gallery:
    """With whichever bundle it holds vectors of."""
    for bundle, dimension in BUNDLES.items():
        try:
            return open_gallery(f"sqlite:///{path}", bundle_id=bundle, dimension=dimension)
        except WrongBundle:
            continue
    raise AssertionError("the gallery belongs to no bundle")


def move(path: str, log: str) -> None:
    """`log` grows by a byte with each step."""
    steps = os.open(log, os.O_WRONLY | os.O_APPEND)
    index.maintenance.PERIOD_SECONDS = 0.002  # erases what was discarded
    while True:
        gallery = opened(path)
        bundle, dimension = next(one for one in BUNDLES.items() if one[0] != gallery.bundle_id)
        job = gallery.reembed(bundle, dimension)
        while pending := job.pending(4):
            job.store([(one.image_id, vector(one.image.data.decode(), dimension)) for one in pending])
            os.write(steps, b".")
        job.switch()
        os.write(steps, b"|")
        gallery.discard_retired()
        gallery.close()
