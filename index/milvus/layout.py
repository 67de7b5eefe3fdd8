"""The three collections of a gallery, and which bundle's vectors it holds.

    NAME_images_HASH   one row for each image: vector, identity and everything that filters look at
    NAME_people        one row for each identity, so that they can be listed in order
    NAME_journal       the audit log; the lines of changes under way, and of deletions, also make these safe

HASH is that of the bundle id and the dimension: vectors of two bundles can never come into one collection, whatever
several services do at the same time.
"""

import hashlib
import logging
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pymilvus import DataType, MilvusClient
from pymilvus.milvus_client.index import IndexParams

from index.errors import GalleryUnavailable, WrongBundle
from index.milvus import marks
from index.milvus.address import Address
from index.milvus.connection import LISTS, MAX_LIST, MAX_TEXT, Connection
from index.types import SearchMethod

log = logging.getLogger(__name__)
_LOADING_S = 120.0
INDEXES: dict[SearchMethod, dict[str, Any]] = {
    "exact": {"index_type": "FLAT", "params": {}},
    "hnsw": {"index_type": "HNSW", "params": {"M": 32, "efConstruction": 200}},
    "ivf": {"index_type": "IVF_FLAT", "params": {"nlist": LISTS}},
}


@dataclass(frozen=True, slots=True)
class Collections:
    images: str
    people: str
    journal: str


@dataclass(frozen=True, slots=True)
class Space:
    bundle_id: str
    dimension: int

    @property
    def hash(self) -> str:
        return hashlib.blake2b(f"{self.bundle_id}:{self.dimension}".encode(), digest_size=8).hexdigest()


def claim(
    connection: Connection,
    address: Address,
    space: Space,
    search: SearchMethod = "exact",
    *,
    filling: bool = False,
) -> Collections:
    """Make what is missing, and load it. A gallery without images takes any bundle; else WrongBundle.

    `filling`: by a transfer; until that is complete, nobody else may open it.
    """
    names = Collections(
        f"{address.name}_images_{space.hash}", f"{address.name}_people", f"{address.name}_journal"
    )
    client = connection.client
    with connection.errors():
        _make(client, names.journal, _journal, 2, 1, "exact")
        _load(client, address, [names.journal])
        if not filling and marks.read(connection, names.journal, marks.TRANSFER) is not None:
            raise GalleryUnavailable(
                f"{address} is not complete: finish the transfer to it (dgrl migrate) first"
            )
        for other in spaces(connection, address):
            if other != space:
                _give_up(connection, address, other, space)
        about = {"bundle_id": space.bundle_id, "dimension": space.dimension}
        marks.write(connection, names.journal, int(space.hash, 16) >> 1, about, action="space")
        if marks.read(connection, names.journal, marks.GALLERY) is None:
            marks.write(connection, names.journal, marks.GALLERY, {"gallery_id": uuid.uuid4().hex})
        _make(client, names.images, _images, space.dimension, address.shards, address.index or search)
        _make(client, names.people, _people, 2, 1, "exact")
        _load(client, address, [names.images, names.people])
    return names


def spaces(connection: Connection, address: Address) -> list[Space]:
    """The bundles of which there are collections."""
    with connection.errors():
        present = set(connection.client.list_collections())
        if f"{address.name}_journal" not in present:
            return []
        _load(connection.client, address, [f"{address.name}_journal"])
    known = [Space(**about) for about in marks.all_of(connection, f"{address.name}_journal", "space")]
    return [space for space in known if f"{address.name}_images_{space.hash}" in present]


def _give_up(connection: Connection, address: Address, other: Space, space: Space) -> None:
    """Drop the empty collection of another bundle; refuse where it holds images."""
    collection = f"{address.name}_images_{other.hash}"
    _load(connection.client, address, [collection])
    if images := connection.count(collection, strong=True):
        raise WrongBundle(
            f"the gallery holds {images} vectors of bundle {other.bundle_id} ({other.dimension} dimensions); asked"
            f" for bundle {space.bundle_id} ({space.dimension} dimensions): go on with its own bundle, or bring it to"
            " an embedded gallery (dgrl migrate), re-embed that, and bring it back"
        )
    connection.client.drop_collection(collection)
    log.info("the empty gallery changes from bundle %s to %s", other.bundle_id, space.bundle_id)


def _make(
    client: MilvusClient,
    name: str,
    add_fields: Callable[[Any], None],
    dimension: int,
    shards: int,
    search: SearchMethod,
) -> None:
    """What is there is left as it is: another service may have made it a moment ago, or a start was cut short."""
    if not client.has_collection(name):
        schema = client.create_schema(auto_id=False)
        add_fields(schema)
        schema.add_field(
            "vector", DataType.FLOAT_VECTOR, dim=dimension
        )  # Milvus wants one in every collection
        client.create_collection(name, schema=schema, num_shards=shards, consistency_level="Bounded")
    if not client.list_indexes(name):
        index = IndexParams()
        index.add_index("vector", metric_type="IP", **INDEXES[search])
        client.create_index(name, index, sync=False)


def _images(schema: Any) -> None:
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("identity", DataType.VARCHAR, max_length=512)
    schema.add_field("content_hash", DataType.VARCHAR, max_length=MAX_TEXT)
    schema.add_field("camera", DataType.VARCHAR, max_length=512)  # "": none
    schema.add_field("captured_at", DataType.INT64)  # microseconds since 1970, or NO_TIME
    schema.add_field("enrolled_at", DataType.INT64)
    schema.add_field("flagged", DataType.BOOL)
    schema.add_field("facts", DataType.ARRAY, element_type=DataType.INT64, max_capacity=MAX_LIST)
    schema.add_field("details", DataType.VARCHAR, max_length=MAX_TEXT)  # JSON


def _people(schema: Any) -> None:
    schema.add_field("identity", DataType.VARCHAR, max_length=512, is_primary=True)


def _journal(schema: Any) -> None:
    schema.add_field("id", DataType.INT64, is_primary=True)
    schema.add_field("at", DataType.INT64)
    schema.add_field("actor", DataType.VARCHAR, max_length=MAX_TEXT)  # JSON: a text or null
    schema.add_field("action", DataType.VARCHAR, max_length=64)
    schema.add_field("state", DataType.INT8)
    schema.add_field("images", DataType.ARRAY, element_type=DataType.INT64, max_capacity=MAX_LIST)
    schema.add_field("detail", DataType.VARCHAR, max_length=MAX_TEXT)  # JSON


def _load(client: MilvusClient, address: Address, names: list[str]) -> None:
    for name in names:
        client._get_connection().load_collection(name, replica_number=address.replicas, _async=True)
    end = time.monotonic() + _LOADING_S
    for name in names:
        while str(getattr(client.get_load_state(name)["state"], "name", "")) != "Loaded":
            if time.monotonic() > end:
                raise GalleryUnavailable(f"Milvus did not load {name} within {_LOADING_S:.0f} s")
            time.sleep(0.05)
