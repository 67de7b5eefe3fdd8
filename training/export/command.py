"""`dgrl-train export`: checkpoints in, a bundle out, or exit status 1 and nothing written."""

from functools import reduce
from operator import or_
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from model.bundle.preprocessing import ImageError
from model.bundle.runtime import BundleError
from model.weights import WeightsError, load_dgrl
from training.config import HR_REFERENCE, ConfigError
from training.data.records import DatasetError
from training.data.trained_on import of_weights
from training.export.bundle import export_bundle
from training.export.config import ExportConfig, ExportError, Networks, check_resolvers
from training.export.gate import GateFailed
from training.export.pictures import TooFewCrops, read_crops
from training.export.rank1 import market1501_rank1
from training.export.storage import StoredPrecision
from training.record import read_record
from training.start import super_resolver


def export(
    dgrl: Annotated[Path, typer.Option(help="Weights of the trained DGRL network.")],
    crops: Annotated[Path, typer.Option(help="Folder with at least 64 real crops for the parity gate.")],
    record: Annotated[Path, typer.Option(help="JSON: data, terms, recipe, started_from, device, details.")],
    out: Annotated[Path, typer.Option(help="The bundle's folder; must not exist yet.")],
    rcan: Annotated[
        list[Path] | None,
        typer.Option(
            help="Weights of the super-resolver, or a bundle that has it; repeat for other scales. "
            "None where the network was trained without."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The bundle's name (the folder's unless given).")] = None,
    precision: Annotated[StoredPrecision, typer.Option(help="Of the encoders' stored weights.")] = "float16",
    resolver_precision: Annotated[StoredPrecision, typer.Option(help="Of the super-resolvers'.")] = "float32",
    hr_reference: Annotated[
        tuple[int, int] | None,
        typer.Option(help="HEIGHT WIDTH that super-resolution leads to (the record's unless given)."),
    ] = None,
    market1501: Annotated[
        Path | None, typer.Option(help="Market-1501: also check Rank-1 in bfloat16 against float32.")
    ] = None,
) -> None:
    """Export a bundle from checkpoints, if it passes the parity gate."""
    console, errors = Console(), Console(stderr=True)
    try:
        training = read_record(record)
        reference = hr_reference or training.hr_reference or HR_REFERENCE
        whose = "as asked" if hr_reference else "the record's" if training.hr_reference else "the usual one"
        console.print(f"HR reference: {reference[0]}x{reference[1]}, {whose}", highlight=False)
        config = ExportConfig(name or out.name, precision, resolver_precision, reference)
        resolvers = rcan or []
        check_resolvers(training, given=bool(resolvers))
        trained = reduce(or_, map(of_weights, (dgrl, *resolvers)))
        console.print(f"trained on: {trained}", highlight=False)
        networks = Networks(load_dgrl(dgrl).embedder, tuple(super_resolver(path) for path in resolvers))
        manifest = export_bundle(
            networks,
            read_crops(crops),
            out,
            training,
            config,
            trained_on=trained,
            rank1=market1501_rank1(market1501) if market1501 else None,
            say=lambda line: console.print(line, highlight=False, soft_wrap=True),
        )
    except GateFailed as failure:
        errors.print(f"The export failed the gate; no bundle was written.\n{failure}", soft_wrap=True)
        raise typer.Exit(1) from failure
    except (
        BundleError,
        WeightsError,
        ExportError,
        TooFewCrops,
        ImageError,
        DatasetError,
        OSError,
        ConfigError,
    ) as error:
        errors.print(f"No bundle was written: {error}", soft_wrap=True)
        raise typer.Exit(1) from error
    size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file()) / 2**20
    console.print(f"{out}: bundle {manifest.bundle_id}, {size:.1f} MiB", highlight=False)
