"""A distributed gallery as the source or the target of a transfer."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from index.errors import GalleryError
from index.listing import image_row
from index.milvus import layout, marks
from index.milvus.address import parse
from index.milvus.connection import MAX_LIST, Connection, Row
from index.milvus.journal import Line, shown
from index.milvus.parts import Parts
from index.milvus.pictures import Pictures
from index.milvus.rows import RECORD, details, fact_numbers, row_size
from index.milvus.source import MilvusSource
from index.ranking import Wanted, rank
from index.store import NO_TIME
from index.transfer import About, Stored, StoredLine
from index.types import Match, Vectors

_PAGE = 1000


class MilvusReader:
    """See `index.transfer.Reader`. It reads the newest state; what others change meanwhile, it may see or not."""

    def __init__(self, uri: str, about: About | None = None) -> None:
        """`about`: of the gallery that is to be filled; None to read the one that is there."""
        address, filling = parse(uri), about is not None
        self._connection = Connection(address)
        try:
            known = layout.spaces(self._connection, address)
            if about is None:
                if len(known) != 1:
                    raise GalleryError(
                        f"there is no gallery {address}" if not known else f"{address} has two bundles"
                    )
                about = About("", known[0].bundle_id, known[0].dimension)
            space = layout.Space(about.bundle_id, about.dimension)
            self.names = layout.claim(self._connection, address, space, filling=filling)
            mark = marks.read(self._connection, self.names.journal, marks.GALLERY) or {}
            self.about = About(str(mark.get("gallery_id", "")), about.bundle_id, about.dimension)
        except BaseException:
            self._connection.close()
            raise
        pictures = Pictures(address.pictures) if address.pictures else None
        self._parts = Parts.of(self._connection, self.names, pictures)

    def images(self, after: int = 0, pictures: bool = True) -> Iterator[list[Stored]]:
        fields = (*RECORD, "vector")
        for page in self._connection.pages(self.names.images, "", fields, after, _PAGE, strong=True):
            yield [self._stored(row, pictures) for row in page]

    def lines(self) -> Iterator[list[StoredLine]]:
        for page in self._parts.journal.all_lines():
            yield [
                StoredLine(
                    line.number, line.at, line.actor, line.action, shown(line).detail, line.action == "drop"
                )
                for line in page
            ]

    def ranking(self, probe: Vectors, top_k: int) -> list[Match]:
        source = MilvusSource(self._connection, self.names.images, self.about.dimension, "")
        return rank(source, probe, Wanted(top_k, 3, None))[0]

    def deleted_among(self, images: Sequence[int]) -> set[int]:
        return self._parts.journal.deleted_among(images)

    def close(self) -> None:
        self._connection.close()

    def _stored(self, row: Row, pictures: bool) -> Stored:
        about, captured, picture = json.loads(row["details"]), int(row["captured_at"]), None
        if pictures and self._parts.pictures is not None and "media_type" in about:
            picture = self._parts.pictures.read(row["id"], about["media_type"])
        return Stored(
            image=row["id"],
            identity=row["identity"],
            content_hash=row["content_hash"],
            camera=row["camera"] or None,
            captured_at=None if captured == NO_TIME else captured,
            enrolled_at=int(row["enrolled_at"]),
            flagged=bool(row["flagged"]),
            quality=about.get("quality"),
            metadata=about.get("metadata"),
            filename=about.get("filename"),
            vector=np.array(row["vector"], np.float32).astype(np.float16).tobytes(),
            picture=picture,
        )


class MilvusWriter(MilvusReader):
    """Until it is complete, a mark in the journal keeps services from opening it, and tells how far it came."""

    def __init__(self, uri: str, about: About) -> None:
        super().__init__(uri, about)
        try:
            found = marks.read(self._connection, self.names.journal, marks.TRANSFER)
            self._mark = found or {"source": about.gallery_id, "reached": 0}
            if self._mark["source"] != about.gallery_id:
                raise GalleryError("another transfer to this gallery was begun: finish it first")
            if found is None and self._connection.count(self.names.images, strong=True):
                raise GalleryError("the target holds images already: a transfer needs an empty one")
            self._write_mark()
        except BaseException:
            self.close()
            raise

    def reached(self) -> int:
        return int(self._mark["reached"])

    def put(self, images: Sequence[Stored]) -> None:
        if not images:
            return
        rows = [self._row(one) for one in images]
        self._parts.people.keep(one.identity for one in images)
        if self._parts.pictures is not None:
            for one in images:
                if one.picture is not None:
                    self._parts.pictures.write(one.image, one.picture)
        self._connection.upsert(self.names.images, rows, row_size(rows))
        self._mark = {**self._mark, "reached": images[-1].image}
        self._write_mark()

    def put_lines(self, lines: Sequence[StoredLine]) -> None:
        self._parts.journal.write([part for line in lines for part in _parts(line)])

    def complete(self) -> None:
        gallery = {"gallery_id": self._mark["source"]}
        marks.write(self._connection, self.names.journal, marks.GALLERY, gallery)
        marks.erase(self._connection, self.names.journal, marks.TRANSFER)

    def _write_mark(self) -> None:
        marks.write(self._connection, self.names.journal, marks.TRANSFER, self._mark)

    def _row(self, one: Stored) -> dict[str, Any]:
        media_type = (
            one.picture.media_type if one.picture is not None and self._parts.pictures is not None else None
        )
        return {
            "id": one.image,
            "identity": one.identity,
            "content_hash": one.content_hash,
            "camera": one.camera or "",
            "captured_at": NO_TIME if one.captured_at is None else one.captured_at,
            "enrolled_at": one.enrolled_at,
            "flagged": one.flagged,
            "facts": fact_numbers(one.metadata or {}),
            "details": details(one.metadata, one.quality, one.filename, media_type),
            "vector": np.frombuffer(one.vector, np.float16).astype(np.float32),
        }


def _parts(line: StoredLine) -> list[Line]:
    """A line of an embedded gallery may name more images than a row of Milvus holds; its numbers are small."""
    detail, images = dict(line.detail), list[int]()
    if isinstance(detail.get("images"), list):
        images = [image_row(str(image)) for image in detail.pop("images")]
    parts = [images[start : start + MAX_LIST] for start in range(0, max(1, len(images)), MAX_LIST)]
    return [
        Line(_numbered(line.number, part), line.at, line.actor, line.action, tuple(some), detail)
        for part, some in enumerate(parts)
    ]


def _numbered(number: int, part: int) -> int:
    return number << 12 | part if number < 2**40 else number + part
