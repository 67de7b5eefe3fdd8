"""How a command fails: what a user can mend is one sentence and exit code 2, what is a defect a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from model.bundle.session import ProviderNotGranted


@contextmanager
def clear_errors() -> Iterator[None]:
    """The project's own errors are subclasses of ValueError; a plain ValueError is a defect."""
    try:
        yield
    except (ValueError, OSError, ProviderNotGranted) as error:
        if type(error) is ValueError:
            raise
        typer.echo(f"dgrl-train: {error}", err=True)
        raise typer.Exit(2) from error
