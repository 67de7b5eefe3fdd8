"""`dgrl enrol` and `dgrl query`: the client on the command line."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from service.cli_common import DEFAULT_URL, Complaints, Key, Url
from service.client import Client, ServiceError
from service.schemas_query import QueryAnswer

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
_AT_A_TIME = 16


def enrol(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="holds a folder per identity")],
    camera: Annotated[str | None, typer.Option(help="the camera of all these images")] = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Enrol a folder: FOLDER/IDENTITY/*.jpg. What the gallery already holds is not sent again."""
    outcomes: Counter[str] = Counter()
    fields = {"camera": camera} if camera else {}
    with Complaints(), Client(url, key) as client:
        people = sorted(path for path in folder.iterdir() if path.is_dir())
        for person in track(people, "Enrolling", console=Console(stderr=True)):
            known = _known(client, person.name)
            files = [path for path in _pictures(person)]
            new = [path for path in files if hashlib.sha256(path.read_bytes()).hexdigest() not in known]
            outcomes["already there"] += len(files) - len(new)
            for start in range(0, len(new), _AT_A_TIME):
                outcomes += _enrol(client, person.name, new[start : start + _AT_A_TIME], fields)
    typer.echo(", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())) or "no images")
    raise typer.Exit(1 if outcomes["rejected"] else 0)


def query(
    images: Annotated[list[Path], typer.Argument(exists=True, dir_okay=False, help="crops of one person")],
    top_k: Annotated[int, typer.Option(help="identities to print")] = 10,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Ask who is on one or several small crops of one person."""
    with Complaints(), Client(url, key) as client:
        _print(client.query(images, top_k=top_k))


def _enrol(client: Client, identity: str, files: list[Path], fields: dict[str, str]) -> Counter[str]:
    try:
        answers = client.enrol(identity, files, **fields).images
    except ServiceError as error:
        if "images" not in error.problem:
            raise
        for image in error.problem["images"]:
            typer.echo(f"{identity}/{image['filename']}: {image['error']['detail']}", err=True)
        return Counter(rejected=len(files))
    for image in answers:
        if image.error:
            typer.echo(f"{identity}/{image.filename}: {image.error.detail}", err=True)
    return Counter(image.status for image in answers)


def _known(client: Client, identity: str) -> set[str]:
    try:
        return {image.sha256 for image in client.images(identity)}
    except ServiceError as error:
        if error.status != httpx.codes.NOT_FOUND:
            raise
        return set()


def _pictures(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.suffix.lower() in _SUFFIXES and path.is_file())


def _print(answer: QueryAnswer) -> None:
    probe = answer.probe
    way = f"super-resolved x{probe.scale}" if probe.scale else f"no super-resolution, {probe.branch} stem"
    table = Table(title=f"{probe.width}x{probe.height} pixels, {way}, {answer.timing_ms.total:.0f} ms")
    for column in ("rank", "identity", "score", "probability", "match"):
        table.add_column(column)
    for match in answer.matches:
        probability = "" if match.probability is None else f"{match.probability:.3f}"
        decided = "" if match.match is None else ("yes" if match.match else "no")
        table.add_row(str(match.rank), match.identity, f"{match.score:.4f}", probability, decided)
    console = Console()
    console.print(table)
    if answer.calibration.note:
        console.print(answer.calibration.note)
