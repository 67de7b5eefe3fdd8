"""The audit log: who did what, page by page."""

import time

import numpy as np
import pytest

from index import AuditLine, Enrolment, Gallery, InvalidCursor
from tests.index.conftest import EVERY, Opener
from tests.index.people import one_hot

ENGINES = EVERY


def lines(gallery: Gallery) -> list[tuple[str | None, str, dict[str, object]]]:
    return [(line.actor, line.action, line.detail) for line in gallery.audit(limit=1000).items]


def test_who_did_what(open_it: Opener) -> None:
    gallery, vector = open_it(), one_hot(16)
    first, _, third = (
        one.image_id for one in gallery.add([Enrolment(n, vector, n) for n in "aab"], actor="key 1")
    )
    gallery.add([Enrolment("a", vector, "a")], actor="key 1")  # a duplicate changes nothing
    for actor in ("key 2", "key 2", None):
        gallery.search(np.stack([vector, vector]), 1, actor=actor)
    gallery.rename("b", "c", actor="key 1")
    gallery.remove_image("a", first, actor="key 3")
    gallery.remove_identity("nobody", actor="key 3")
    gallery.remove_identity("c", actor="key 3")
    gallery.close()
    gallery = open_it()
    assert lines(gallery) == [
        ("key 1", "enrol", {"identity": "a", "images": [first]}),
        ("key 1", "enrol", {"identity": "b", "images": [third]}),
        ("key 1", "rename", {"identity": "b", "new": "c", "images": 1}),
        ("key 3", "delete", {"identity": "a", "images": [first]}),
        ("key 3", "delete", {"identity": "c", "images": [third]}),
        ("key 2", "search", {"searches": 2, "probes": 4}),
        (None, "search", {"searches": 1, "probes": 2}),
    ]
    oldest = gallery.audit(limit=1).items[0]
    assert abs(oldest.at.timestamp() - time.time()) < 60


def test_pages_of_the_audit_log(open_it: Opener) -> None:
    gallery = open_it()
    for name in "abcdefg":
        gallery.add([Enrolment(name, one_hot(16), "x")])
    found: list[AuditLine] = []
    page = gallery.audit(limit=3)
    found += page.items
    while page.next_cursor:
        page = gallery.audit(page.next_cursor, limit=3)
        found += page.items
    assert [line.detail["identity"] for line in found] == list("abcdefg")
    with pytest.raises(InvalidCursor):
        gallery.audit(gallery.identities(limit=1).next_cursor)
