"""What a gallery on Milvus works with, opened once and shared by its enrolments, changes and listings."""

from dataclasses import dataclass
from typing import Self

from index.milvus.connection import Connection
from index.milvus.journal import Journal
from index.milvus.layout import Collections
from index.milvus.people import People
from index.milvus.pictures import Pictures


@dataclass(frozen=True, slots=True)
class Parts:
    connection: Connection
    images: str  # the collection's name
    journal: Journal
    people: People
    pictures: Pictures | None  # None: they are not kept

    @classmethod
    def of(cls, connection: Connection, names: Collections, pictures: Pictures | None) -> Self:
        journal = Journal(connection, names.journal)
        people = People(connection, names.people, names.images)
        return cls(connection, names.images, journal, people, pictures)
