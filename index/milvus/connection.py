"""Requests to Milvus: bounded in time, retried while it does not answer, consistent with this client's own writes.

Milvus orders all writes by timestamps. After each write a timestamp is taken, and the next reads ask for a state that
is at least as new: whoever wrote sees it, at the cost of up to a few tenths of a second right after a write. (The
client's own Session level does the same for insertions only; a deletion would still be seen.) What others wrote is
seen at the latest after the server's bound, 5 s, as a rule after some 0.3 s. `strong` reads see every acknowledged
write of everybody.

pymilvus itself repeats a request that got no answer, with growing pauses, until its time is over. So every write must
be harmless when it is made twice: rows have keys that never name anything else, and are written by upsert.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import grpc
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException, ParamError

from index.errors import GalleryError, GalleryUnavailable, StorageFull
from index.milvus.address import Address
from index.types import Vectors

logging.getLogger("pymilvus").setLevel(logging.CRITICAL + 1)  # it prints what it raises, with a traceback

MAX_TEXT = 65_535  # bytes of a text in Milvus
MAX_LIST = 1024  # entries of a list in a row
MOST_ROWS = 16_384  # that Milvus returns for one request
LISTS = 1024  # of an IVF index
_ALL_OF_LITE = 2**30
_MOST_BYTES = 2**22  # of rows in one request: below what Milvus splits into several messages
_SECONDS = 10.0
_LONG_S = 20.0  # for searches, and for writes: one that is given up may have been made all the same
_OWN_WRITES_S = 10.0  # longer than the server's bound on staleness

Row = dict[str, Any]


class Connection:
    def __init__(self, address: Address) -> None:
        self._address = address
        self._lock = threading.Lock()
        self._written: tuple[float, int] = (-_OWN_WRITES_S, 0)  # when, and a timestamp of Milvus after it
        self.closed = False
        with self.errors():
            self._client = MilvusClient(
                address.uri, token=address.token, db_name=address.database, timeout=_SECONDS, dedicated=True
            )

    @property
    def client(self) -> MilvusClient:
        """For what has no name here; inside `errors`."""
        return self._client

    def read(
        self,
        collection: str,
        expression: str,
        fields: Sequence[str],
        limit: int = MOST_ROWS,
        strong: bool = False,
    ) -> list[Row]:
        """The rows with the smallest keys, in their order; at most `limit`."""
        with self.errors():
            rows = self._client.query(
                collection,
                filter=expression,
                output_fields=list(fields),
                limit=_ALL_OF_LITE if self._address.lite else limit,
                timeout=_SECONDS,
                reduce_stop_for_best=True,
                **self._consistency(strong),
            )
        if self._address.lite:  # which has no order of its own
            rows = sorted(rows, key=lambda row: (row.get("id", 0), row.get("identity", "")))[:limit]
        return [dict(row) for row in rows]

    def pages(
        self,
        collection: str,
        expression: str,
        fields: Sequence[str],
        after: int = -1,
        rows: int = MOST_ROWS,
        strong: bool = False,
    ) -> Iterator[list[Row]]:
        """All rows with an `id` greater than `after`, in its order, a bounded number at a time."""
        condition = f" and ({expression})" if expression else ""
        while page := self.read(collection, f"id > {after}{condition}", ["id", *fields], rows, strong):
            yield page
            if len(page) < rows:
                return
            after = page[-1]["id"]

    def count(self, collection: str, strong: bool = False) -> int:
        with self.errors():
            rows = self._client.query(
                collection,
                filter="",
                output_fields=["count(*)"],
                timeout=_SECONDS,
                **self._consistency(strong),
            )
        return int(rows[0]["count(*)"])

    def search(
        self,
        collection: str,
        probes: Vectors,
        k: int,
        expression: str,
        fields: Sequence[str],
        effort: int = 1,
    ) -> list[list[Row]]:
        """For each of `probes` (Q, D) the best `k` rows, each with `id`, `distance` and `entity`.

        `effort`: how much more of an approximate index is looked at.
        """
        looked_at = {"ef": min(32_768, effort * max(128, 2 * k)), "nprobe": min(LISTS, 64 * effort)}
        with self.errors():
            found = self._client.search(
                collection,
                data=list(probes),
                filter=expression,
                limit=k,
                output_fields=list(fields),
                search_params={"metric_type": "IP", "params": looked_at},
                timeout=_LONG_S,
                **self._consistency(False),
            )
        return [[dict(hit) for hit in hits] for hits in found]

    def upsert(self, collection: str, rows: Iterable[Row], size: int) -> None:
        """`size`: bytes of a row, about. What fits into one request is stored, and seen by others, as a whole."""
        at_once = max(1, _MOST_BYTES // size)
        listed = list(rows)
        for start in range(0, len(listed), at_once):
            with self.errors():
                self._client.upsert(collection, listed[start : start + at_once], timeout=_LONG_S)
            self._wrote()

    def delete(self, collection: str, ids: Sequence[int]) -> None:
        for start in range(0, len(ids), MOST_ROWS):
            chosen = ",".join(map(str, ids[start : start + MOST_ROWS]))
            with self.errors():
                self._client.delete(collection, filter=f"id in [{chosen}]", timeout=_LONG_S)
            self._wrote()

    def delete_where(self, collection: str, expression: str) -> None:
        with self.errors():
            self._client.delete(collection, filter=expression, timeout=_LONG_S)
        self._wrote()

    def _wrote(self) -> None:
        if self._address.lite:  # one process, which sees its writes at once
            return
        with self.errors():
            after = self._client._get_connection().alloc_timestamp(timeout=_SECONDS)
        with self._lock:
            self._written = (time.monotonic(), max(after, self._written[1]))

    def _consistency(self, strong: bool) -> dict[str, Any]:
        when, after = self._written
        if strong:
            return {"consistency_level": "Strong"}
        if time.monotonic() - when > _OWN_WRITES_S:
            return {"consistency_level": "Bounded"}
        return {"consistency_level": "Customized", "guarantee_timestamp": after}

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Milvus's errors as the gallery's; mistakes in code pass."""
        if self.closed:
            raise GalleryUnavailable(f"{self._address} is closed")
        try:
            yield
        except (GalleryError, ParamError):
            raise
        except MilvusException as error:
            if "cannot parse expression" in str(error):
                raise
            if "quota" in str(error):
                raise StorageFull(f"{self._address} takes no more: {error}") from error
            raise GalleryUnavailable(f"{self._address} does not answer: {error}") from error
        except (grpc.RpcError, OSError, ValueError) as error:  # ValueError: a channel that was closed
            if isinstance(error, ValueError) and "closed channel" not in str(error):
                raise
            raise GalleryUnavailable(f"{self._address} does not answer: {error}") from error

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._client.close()
