"""The options that several commands share: which data, and under which protocol."""

from pathlib import Path
from typing import Annotated

import typer

from training.data.sources import Source

Data = Annotated[
    Path, typer.Argument(help="the dataset's folder in its official layout; for `own` also a CSV")
]
Kind = Annotated[
    Source | None, typer.Option("--dataset", help="which dataset lies there: market1501, or the manifest's")
]
Protocol = Annotated[
    str,
    typer.Option(
        help="all, or c1 (camera 1 against the others): probes are made small; native: they are as they are; "
        "empty: the dataset's usual one"
    ),
]
Split = Annotated[
    int | None,
    typer.Option(
        help="number of a split, where there are several (default 0); of `own`: train on half of the people",
        min=0,
    ),
]
Seed = Annotated[int, typer.Option(help="of the down-sampling factors, and of single_shot's draws", min=0)]
ManifestFile = Annotated[
    Path | None, typer.Option("--manifest", help="use this manifest; it is written where it does not exist")
]
Counts = Annotated[bool, typer.Option(help="insist on the official number of images")]
