"""Enrolling many images: several requests at a time, a result for each image, and nothing is sent twice.

What counts as the same is the content of the file under its identity. So a run that was cut off is simply started
again: what the gallery already holds is passed over.
"""

import hashlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import httpx

from service.bulk_source import Item
from service.client import Client, ServiceError
from service.identity import check_name
from service.schemas import EnrolledImage

_IMAGES, _BYTES = 16, 8 * 2**20  # of one request
_OF_THE_IMAGES = frozenset({413, 415, 422})

Status = Literal["enrolled", "duplicate", "already there", "rejected"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`duplicate`: the same file came twice in this run; `already there`: it was not sent. `flags` name the limits of
    quality that an image misses which was sent."""

    item: Item
    status: Status
    image_id: str = ""
    detail: str = ""
    flags: tuple[str, ...] = ()


class Bulk:
    def __init__(self, client: Client, parallel: int) -> None:
        self._client = client
        self._parallel = parallel
        settings = client.model()["settings"]
        self._images = min(_IMAGES, settings.get("max_images", _IMAGES))
        self._bytes = min(_BYTES, settings.get("max_body_bytes", _BYTES) // 2)
        self._identities = {found.identity for found in client.identities()}
        self._known = lru_cache(256)(self._fetch_known)

    def enrol(self, items: Sequence[Item]) -> Iterator[Outcome]:
        """In the order of `items`. Raises ServiceError for what concerns more than the images of one request."""
        pool = ThreadPoolExecutor(self._parallel, thread_name_prefix="enrol")
        under_way: deque[Future[list[Outcome]]] = deque()
        try:
            for batch in self._batches(items):
                under_way.append(pool.submit(self._batch, batch))
                if len(under_way) >= 2 * self._parallel:
                    yield from under_way.popleft().result()
            while under_way:
                yield from under_way.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _batches(self, items: Sequence[Item]) -> Iterator[list[Item]]:
        """Neighbours of one identity with the same fields."""
        batch: list[Item] = []
        size = 0
        for item in items:
            new = item.path.stat().st_size if item.path.is_file() else 0
            alike = batch and (batch[0].identity, batch[0].fields) == (item.identity, item.fields)
            if batch and (not alike or len(batch) == self._images or size + new > self._bytes):
                yield batch
                batch, size = [], 0
            batch.append(item)
            size += new
        if batch:
            yield batch

    def _batch(self, batch: list[Item]) -> list[Outcome]:
        try:
            identity = check_name(batch[0].identity)
        except ValueError as error:
            return [Outcome(item, "rejected", detail=f"identity: {error}") for item in batch]
        settled = [self._settled(identity, item) for item in batch]
        new = [item for item, outcome in zip(batch, settled, strict=True) if outcome is None]
        sent = iter(self._send(identity, new))
        return [outcome or next(sent) for outcome in settled]

    def _settled(self, identity: str, item: Item) -> Outcome | None:
        """Of what need not be sent."""
        try:
            digest = hashlib.sha256(item.path.read_bytes()).hexdigest()
        except OSError as error:
            return Outcome(item, "rejected", detail=f"{item.path}: {error.strerror}")
        image_id = self._known(identity).get(digest)
        return Outcome(item, "already there", image_id) if image_id else None

    def _send(self, identity: str, items: list[Item]) -> list[Outcome]:
        if not items:
            return []
        try:
            answer = self._client.enrol(identity, [item.path for item in items], **dict(items[0].fields))
            return [_outcome(item, image) for item, image in zip(items, answer.images, strict=True)]
        except ServiceError as error:
            if error.status not in _OF_THE_IMAGES:
                raise
            if error.status == httpx.codes.REQUEST_ENTITY_TOO_LARGE and len(items) > 1:
                return [outcome for item in items for outcome in self._send(identity, [item])]
            told = [image["error"]["detail"] for image in error.problem.get("images", [])]
            detail = str(error.problem.get("detail", error))
            details = told or [detail] * len(items)
            return [Outcome(item, "rejected", detail=each) for item, each in zip(items, details, strict=True)]

    def _fetch_known(self, identity: str) -> dict[str, str]:
        """Content to image id of what the gallery had of this identity."""
        if identity not in self._identities:
            return {}
        try:
            return {image.sha256: image.image_id for image in self._client.images(identity)}
        except ServiceError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise
            return {}  # deleted meanwhile


def _outcome(item: Item, image: EnrolledImage) -> Outcome:
    return Outcome(
        item,
        image.status,
        image.image_id or "",
        image.error.detail if image.error else "",
        tuple(image.quality.flags) if image.quality else (),
    )
