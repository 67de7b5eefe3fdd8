"""`dgrl backup` and `dgrl restore`: the gallery with what is needed to make sense of it, and without any key."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from index import backup_gallery, restore_gallery
from model.bundle.manifest import MANIFEST_NAME, Manifest
from service.cli_common import Complaints, DataDir
from service.settings import Settings, load_settings

BUNDLE, NEXT_BUNDLE, SETTINGS = "bundle.json", "next-bundle.json", "settings.json"
ACTOR = "command line"


def backup(
    target: Annotated[Path, typer.Argument(metavar="DIR", help="the folder to make; it must not exist")],
    data_dir: DataDir = None,
) -> None:
    """Copy the gallery, the bundle's manifest and the settings to the new folder DIR, while the service runs.

    API keys are not copied. The weights are not either: keep the bundle that bundle.json names.
    """
    with Complaints(), TemporaryDirectory(prefix="dgrl-backup-") as scratch:
        settings = load_settings(data_dir=data_dir)
        shown = Path(scratch) / SETTINGS
        shown.write_text(json.dumps(settings.overrides(), indent=2), encoding="utf-8")
        extra = {**_manifests(settings), SETTINGS: shown}
        counts = backup_gallery(settings.gallery_uri, target, extra)
        typer.echo(f"{counts.images} images of {counts.identities} identities are in {target}")


def restore(
    source: Annotated[Path, typer.Argument(metavar="DIR", help="a folder made by `dgrl backup`")],
    replace: Annotated[
        bool, typer.Option("--replace", help="take the place of the gallery there is")
    ] = False,
    later: Annotated[
        Path | None,
        typer.Option(help="a later backup or gallery: whom it knows as deleted since stays deleted"),
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Check a backup (hashes, counts, sample rankings) and make it the gallery. The service must be stopped.

    Whoever was deleted from the replaced gallery since the backup stays deleted.
    """
    with Complaints():
        settings = load_settings(data_dir=data_dir)
        done = restore_gallery(source, settings.gallery_uri, replace=replace, later=later, actor=ACTOR)
        images = done.manifest.images - done.deleted_since
        typer.echo(
            f"{images} images as of {done.manifest.created:%Y-%m-%d %H:%M:%S} UTC are restored and checked"
        )
        if done.deleted_since:
            typer.echo(f"{done.deleted_since} images that were deleted since are left out")
        manifests = _manifests(settings).values()
        served = [Manifest.model_validate_json(path.read_bytes()).bundle_id for path in manifests]
        if done.manifest.bundle_id not in served:
            typer.echo(
                f"its vectors are of bundle {done.manifest.bundle_id}, and DGRL_BUNDLE names {served[0]}:"
                " the service will not start with it",
                err=True,
            )


def _manifests(settings: Settings) -> dict[str, Path]:
    """Of the bundle, and of the next one where there is one; by their names in a backup."""
    folders = {BUNDLE: settings.bundle, NEXT_BUNDLE: settings.next_bundle}
    found = {name: folder / MANIFEST_NAME for name, folder in folders.items() if folder is not None}
    for path in found.values():
        if not path.is_file():
            raise ValueError(f"no bundle in {path.parent}: it has no {MANIFEST_NAME}")
    return found
