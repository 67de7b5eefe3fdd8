"""`dgrl reembed`: moves a running service's gallery to DGRL_NEXT_BUNDLE."""

import time
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from service.cli_common import DEFAULT_URL, Complaints, Key, Url
from service.client import Client
from service.schemas_reembedding import Job

_POLL_S, _SHARE = 0.5, 10  # asking takes at most a tenth of the time: counting a large gallery costs seconds


def reembed(
    switch: Annotated[
        bool, typer.Option("--switch", help="serve the new bundle once all is embedded")
    ] = False,
    forget_missing: Annotated[
        bool, typer.Option("--forget-missing", help="with --switch: delete what cannot be embedded")
    ] = False,
    give_up: Annotated[bool, typer.Option("--give-up", help="end the job and erase what it made")] = False,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Embed the gallery anew with the bundle of DGRL_NEXT_BUNDLE, while the service goes on with the old one.

    Ctrl-C ends the watching, not the job. To go back after a switch, run it again.
    """
    with Complaints(), Client(url, key) as client:
        if give_up:
            client.give_up_reembedding()
            typer.echo("the re-embedding is given up; the gallery is as it was")
            return
        job = _watch(client)
        typer.echo(f"{job.embedded} of {job.images} images are embedded with bundle {job.bundle}")
        for image in client.missing():
            place = f"{image.identity}/{image.filename or image.image_id}"
            typer.echo(f"{place} must be enrolled again: {image.reason}", err=True)
        if not switch:
            typer.echo("searches still go through the old one: `dgrl reembed --switch` changes that")
            return
        now = client.switch(forget_missing=forget_missing).bundle
        typer.echo(f"searches go through bundle {now}: make it DGRL_BUNDLE before the next start")


def _watch(client: Client) -> Job:
    """Begin, and return when nothing is left to be embedded."""
    job, told, taken = _job(client.begin_reembedding().job), None, 0.0
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("Embedding", total=job.images)
        while True:
            bar.update(task, total=job.images, completed=job.images - job.pending)
            if not job.pending and job.state == "running":
                return job
            if job.error and job.error != told:
                bar.console.print(f"it does not get on, and tries again: {job.error}")
            told = job.error
            time.sleep(max(_POLL_S, _SHARE * taken))
            start = time.perf_counter()
            job = _job(client.reembedding().job)
            taken = time.perf_counter() - start


def _job(job: Job | None) -> Job:
    if job is None:
        raise ValueError("the re-embedding was given up or switched by somebody else")
    return job
