"""`dgrl enrol`: a folder or a table of images."""

import csv
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track

from service.bulk import Bulk, Outcome
from service.bulk_source import items_of, left_out
from service.cli_common import DEFAULT_URL, Complaints, Key, Url
from service.client import Client

_PATIENCE = 20  # tries of one request while the service is at its limit
_EXPECTED = (
    "a folder is to hold IDENTITY/*.jpg or IDENTITY/CAMERA/*.jpg (.png, .webp and .bmp as well),"
    " and a CSV a line for each image"
)


def enrol(
    source: Annotated[
        Path,
        typer.Argument(exists=True, help="a folder IDENTITY/*.jpg or IDENTITY/CAMERA/*.jpg, or a CSV"),
    ],
    camera: Annotated[str | None, typer.Option(help="the camera of images that have none")] = None,
    parallel: Annotated[int, typer.Option(min=1, max=64, help="requests at a time")] = 4,
    results: Annotated[
        Path | None, typer.Option(help="write a CSV: path, identity, status, image_id, detail, flags")
    ] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Enrol many images. What the gallery already holds is not sent again: run it again after an interruption.

    A CSV has the columns path (relative to it) and identity, and optionally camera, captured_at (ISO 8601; UTC
    where it names no offset) and metadata (JSON).
    """
    outcomes: Counter[str] = Counter()
    flagged: Counter[str] = Counter()
    with Complaints(), Client(url, key, retries=_PATIENCE) as client:
        items = items_of(source, camera)
        if not items:
            raise ValueError(f"no images in {source}: {_EXPECTED}")
        bulk = Bulk(client, parallel)
        identities = len({item.identity for item in items})
        typer.echo(f"{len(items)} images of {identities} identities", err=True)
        if others := left_out(source, items):
            typer.echo(f"left out: {len(others)} other files, {others[0]} for one; {_EXPECTED}", err=True)
        start = time.perf_counter()
        with _table(results) as write:
            try:
                found = bulk.enrol(items)
                for outcome in track(found, "Enrolling", total=len(items), console=Console(stderr=True)):
                    outcomes[outcome.status] += 1
                    flagged.update(outcome.flags)
                    write(outcome)
                    if outcome.status == "rejected":
                        typer.echo(
                            f"{outcome.item.identity}/{outcome.item.path.name}: {outcome.detail}", err=True
                        )
            finally:
                _summarise(outcomes, flagged, time.perf_counter() - start)
    raise typer.Exit(1 if outcomes["rejected"] else 0)


def _summarise(outcomes: Counter[str], flagged: Counter[str], seconds: float) -> None:
    if outcomes:
        typer.echo(_counts(outcomes))
    if flagged:
        typer.echo(f"flagged: {_counts(flagged)} (of poor quality, so expect poor matches)")
    sent = outcomes.total() - outcomes["already there"]
    if sent:
        typer.echo(f"{sent} images sent in {seconds:.1f} s: {sent / seconds:.0f} images/s")


def _counts(of: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(of.items()))


@contextmanager
def _table(path: Path | None) -> Iterator[Callable[[Outcome], None]]:
    if path is None:
        yield lambda _: None
        return
    with path.open("w", encoding="utf-8", errors="replace", newline="", buffering=1) as file:
        writer = csv.writer(file)
        writer.writerow(("path", "identity", "status", "image_id", "detail", "flags"))
        yield lambda o: _write(writer.writerow, o)


def _write(writerow: Callable[[list[str]], object], outcome: Outcome) -> None:
    item = outcome.item
    flags = " ".join(outcome.flags)
    writerow([str(item.path), item.identity, outcome.status, outcome.image_id, outcome.detail, flags])
