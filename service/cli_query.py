"""`dgrl query`: who is this?"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from service.cli_common import DEFAULT_URL, Complaints, Key, Url
from service.client import Client
from service.schemas_query import QueryAnswer


def query(
    images: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="crops of one person")],
    top_k: Annotated[
        int | None, typer.Option(help="identities to print; by default as the service is set")
    ] = None,
    camera: Annotated[list[str] | None, typer.Option(help="only images of this camera; repeatable")] = None,
    exclude_camera: Annotated[
        list[str] | None, typer.Option(help="no images of this camera; repeatable")
    ] = None,
    since: Annotated[str, typer.Option(help="only images taken at this time (ISO 8601) or later")] = "",
    until: Annotated[str, typer.Option(help="only images taken before this time")] = "",
    prefix: Annotated[str, typer.Option(help="only identities that start so")] = "",
    super_resolution: Annotated[
        str, typer.Option(help="auto (by the crop's height), off, 2, 3 or 4")
    ] = "auto",
    rerank: Annotated[bool, typer.Option("--rerank", help="k-reciprocal order of the best")] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Ask who is on one or several small crops of one person."""
    with Complaints(), Client(url, key) as client:
        answer = client.query(
            images,
            top_k=top_k,
            camera=camera or [],
            exclude_camera=exclude_camera or [],
            since=since,
            until=until,
            prefix=prefix,
            super_resolution=super_resolution,
            rerank=rerank,
        )
        _print(answer)


def _print(answer: QueryAnswer) -> None:
    probe, console = answer.probe, Console()
    way = f"super-resolved x{probe.scale}" if probe.scale else f"no super-resolution, {probe.branch} stem"
    fused = f"{len(answer.probes)} crops as one, the middle one " if len(answer.probes) > 1 else ""
    said = f"{fused}{probe.width}x{probe.height} pixels, {way}, {answer.timing_ms.total:.0f} ms"
    console.print(said, highlight=False)
    if answer.matches:
        console.print(_ranking(answer))
    else:
        console.print("nobody to rank: the gallery is empty, or no image of it passes the filters")
    if answer.order != "score":
        console.print(f"in {answer.order} order: scores need not descend")
    if answer.calibration.note:
        console.print(answer.calibration.note)


def _ranking(answer: QueryAnswer) -> Table:
    table = Table("rank", "identity", "score", "probability", "match")
    for match in answer.matches:
        probability = "" if match.probability is None else f"{match.probability:.3f}"
        decided = "" if match.match is None else ("yes" if match.match else "no")
        table.add_row(str(match.rank), escape(match.identity), f"{match.score:.4f}", probability, decided)
    return table
