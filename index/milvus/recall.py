"""What an approximate index of Milvus finds, measured when a gallery is opened.

The reference is the same index at 32 times the effort: for IVF that looks at all lists, which is exact; for HNSW it
is as near to exact as the index comes.
"""

import logging
import math
import time

import numpy as np

from index.milvus.connection import Connection
from index.milvus.layout import INDEXES
from index.types import Acceleration, SearchMethod

log = logging.getLogger(__name__)
FROM_IMAGES = 10_000
_EFFORT = 32
_SAMPLES, _TOP_K, _READ = 32, 10, 2000


def measured(connection: Connection, collection: str) -> Acceleration | None:
    """None where searches are exact, or so few images are there that Milvus scans them."""
    method, images = method_of(connection, collection), connection.count(collection)
    if method == "exact" or images < FROM_IMAGES:
        return None
    started, rng = time.perf_counter(), np.random.default_rng(0)
    rows = connection.read(collection, "", ["vector"], _READ)
    probes = np.array([row["vector"] for row in rows[:: max(1, len(rows) // _SAMPLES)]], np.float32)
    probes += rng.standard_normal(probes.shape, dtype=np.float32) / math.sqrt(probes.shape[1])
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    found = connection.search(collection, probes, _TOP_K, "", [])
    best = connection.search(collection, probes, _TOP_K, "", [], effort=_EFFORT)
    shares = [
        len({hit["id"] for hit in some} & {hit["id"] for hit in all_}) / max(1, len(all_))
        for some, all_ in zip(found, best, strict=True)
    ]
    about = Acceleration(method, images, float(np.mean(shares)), time.perf_counter() - started)
    log.info(
        "Milvus searches %d images by %s; it finds %.1f%% of the %d best",
        images,
        method,
        100 * about.recall,
        _TOP_K,
    )
    return about


def method_of(connection: Connection, collection: str) -> SearchMethod:
    """How the collection was made to be searched; that does not change."""
    with connection.errors():
        kind = connection.client.describe_index(collection, "vector")["index_type"]
    return next(method for method, index in INDEXES.items() if index["index_type"] == kind)
