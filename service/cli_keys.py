"""`dgrl keys`: make, list and revoke API keys. A running service sees the change at once."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli_common import Complaints, DataDir
from service.keys import KeysError, KeyStore, Scope

app = typer.Typer(no_args_is_help=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="who or what the key is for")],
    scope: Annotated[
        Scope, typer.Option(help="read: search; enrol: add as well; admin: everything")
    ] = Scope.READ,
    data_dir: DataDir = None,
) -> None:
    """Make a key and print it, once."""
    with Complaints():
        store = _store(data_dir)
        typer.echo(store.create(name, scope))
        typer.echo(f"It is valid for the service whose keys are in {store.path}", err=True)


@app.command("list")
def list_keys(data_dir: DataDir = None) -> None:
    """Print id, scope, date and name of every key."""
    with Complaints():
        store = _store(data_dir)
        keys = store.list()
        if not keys:
            typer.echo(f"no keys in {store.path}", err=True)
        for key in keys:
            typer.echo(f"{key.id}  {key.scope:<5}  {key.created:%Y-%m-%d}  {key.name}")


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="the id that `dgrl keys list` prints")],
    data_dir: DataDir = None,
) -> None:
    """Make a key invalid, for good."""
    with Complaints():
        if not _store(data_dir).revoke(key_id):
            raise KeysError(f"there is no key {key_id!r}")


def _store(data_dir: Path | None) -> KeyStore:
    from service.settings import load_settings

    return KeyStore(load_settings(data_dir=data_dir).keys_path)
