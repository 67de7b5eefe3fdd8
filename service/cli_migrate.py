"""`dgrl migrate`: a gallery moves from one engine to the other."""

from typing import Annotated

import typer

from index import migrate as move
from service.cli_common import Complaints


def migrate(
    source: Annotated[str, typer.Argument(help="URI of the gallery as it is, say sqlite:///data/gallery.db")],
    target: Annotated[str, typer.Argument(help="URI of the one to make, say milvus://milvus:19530/gallery")],
) -> None:
    """Copy a gallery to another engine, prove the copy, and leave the source as it is. Stop the service first.

    Cut short, the same command goes on where it was. Then serve with DGRL_GALLERY set to the new URI.
    """
    with Complaints():
        done = move(source, target, progress=lambda images: typer.echo(f"{images} images copied", err=True))
        typer.echo(
            f"{done.images} images of {done.identities} identities, with {done.pictures} pictures, are copied;"
            f" count, checksum and sample rankings are equal; checksum {done.checksum}"
        )
