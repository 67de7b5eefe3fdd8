"""`python -m service.demo`: starts a service, searches synthetic people in it, prints what it found."""

import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console

from service.demo.demo import PEOPLE, enrol, save, search
from service.demo.people import people
from service.demo.report import ranking, summary, timings
from service.demo.server import NotStarted, running_service

Seed = Annotated[int, typer.Option(help="other people for another number")]
Draw = Annotated[
    Path | None, typer.Option(help="only write the people's crops into this folder", file_okay=False)
]


def demo(seed: Seed = 0, draw: Draw = None) -> None:
    """Search synthetic people in a service of its own, which stops afterwards and leaves nothing behind."""
    if draw is not None:
        save(draw, people(PEOPLE, seed))
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the service is stopped too
    console = Console()
    if not console.is_terminal:
        console = Console(width=110)
    try:
        _run(console, seed)
    except (NotStarted, httpx.HTTPError) as error:
        Console(stderr=True, soft_wrap=True).print(f"Error: {error}", markup=False, highlight=False)
        raise typer.Exit(1) from error


def _run(console: Console, seed: int) -> None:
    started = time.perf_counter()
    with console.status("Starting the service"), running_service() as url:
        console.print(f"Service ready on {url} after {time.perf_counter() - started:.1f} s")
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            model = client.get("/model").raise_for_status().json()
            everyone = people(PEOPLE, seed)
            images = enrol(client, everyone)
            found = search(client, everyone)
    console.print(f"Bundle {model['manifest']['name']} on {model['provider']} in {model['precision']}")
    console.print(f"Enrolled {images} sharp crops of {len(everyone)} synthetic people\n")
    console.print(ranking(found))
    console.print(timings(found))
    console.print(f"{summary(found)} The service has stopped and its gallery is gone.")


if __name__ == "__main__":
    typer.run(demo)
