"""`dgrl reembed`: moves a running service's gallery to DGRL_NEXT_BUNDLE, or a stopped one's to DGRL_BUNDLE."""

import time
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from index import IncompleteReembedding
from index import Progress as JobProgress
from model.bundle.cpu import UnsupportedCpu
from model.bundle.session import ProviderNotGranted
from service.cli_backup import ACTOR
from service.cli_common import DEFAULT_URL, Complaints, DataDir, Key, Url
from service.client import Client
from service.schemas_reembedding import Job
from service.settings import Settings, load_settings
from service.stopped_reembedding import give_up as give_up_stopped
from service.stopped_reembedding import missing, move

_POLL_S, _SHARE = 0.5, 10  # asking takes at most a tenth of the time: counting a large gallery costs seconds

_GIVEN_UP = "the re-embedding is given up; the gallery is as it was"


def reembed(
    switch: Annotated[
        bool, typer.Option("--switch", help="serve the new bundle once all is embedded")
    ] = False,
    forget_missing: Annotated[
        bool, typer.Option("--forget-missing", help="with --switch: delete what cannot be embedded")
    ] = False,
    give_up: Annotated[bool, typer.Option("--give-up", help="end the job and erase what it made")] = False,
    stopped: Annotated[
        bool,
        typer.Option(
            "--stopped", help="no service runs: embed with DGRL_BUNDLE and switch; the old bundle may be gone"
        ),
    ] = False,
    data_dir: DataDir = None,
    url: Url = DEFAULT_URL,
    key: Key = None,
) -> None:
    """Embed the gallery anew with the bundle of DGRL_NEXT_BUNDLE, while the service goes on with the old one.

    Ctrl-C ends the watching, not the job. To go back after a switch, run it again.
    """
    if stopped:
        if switch:
            raise typer.BadParameter("--stopped switches by itself")
        with Complaints():
            settings = load_settings(data_dir=data_dir)
            if give_up:
                give_up_stopped(settings, actor=ACTOR)
                typer.echo(_GIVEN_UP)
            else:
                _move(settings, forget_missing)
        return
    with Complaints(), Client(url, key) as client:
        if give_up:
            client.give_up_reembedding()
            typer.echo(_GIVEN_UP)
            return
        job = _watch(client)
        typer.echo(f"{job.embedded} of {job.images} images are embedded with bundle {job.bundle}")
        for image in client.missing():
            typer.echo(_again(image.identity, image.filename or image.image_id, image.reason), err=True)
        if not switch:
            typer.echo("searches still go through the old one: `dgrl reembed --switch` changes that")
            return
        now = client.switch(forget_missing=forget_missing).bundle
        typer.echo(f"searches go through bundle {now}: make it DGRL_BUNDLE before the next start")


def _move(settings: Settings, forget_missing: bool) -> None:
    """Of a service that is stopped, all at once."""
    try:
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("Embedding")

            def tell(now: JobProgress) -> None:
                bar.update(task, total=now.images, completed=now.images - now.pending)

            done = move(settings, forget_missing=forget_missing, actor=ACTOR, tell=tell)
    except (ProviderNotGranted, UnsupportedCpu) as error:
        raise ValueError(str(error)) from error
    except IncompleteReembedding as error:
        for image in missing(settings):
            typer.echo(_again(image.identity, image.filename or image.image_id, image.reason), err=True)
        raise ValueError(
            f"{error}: enrol them again with the bundle before, or let --forget-missing delete them"
        ) from error
    typer.echo(
        f"the gallery's {done.images} images are embedded with bundle {done.bundle_id}: start the service"
    )


def _again(identity: str, name: str, reason: str) -> str:
    return f"{identity}/{name} must be enrolled again: {reason}"


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
