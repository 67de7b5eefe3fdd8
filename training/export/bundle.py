"""Makes a bundle in a folder beside its place, and moves it there once all of it has passed the gate."""

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

from model.bundle.cpu import cpu_flags, has_bfloat16
from model.bundle.manifest import Manifest, TrainingRecord, bundle_id, sha256_of
from model.bundle.runtime import Bundle, Runtime
from model.bundle.session import Precision, Provider, offered_providers
from training.data.trained_on import TrainedOn, write_trained_on
from training.export.config import ExportConfig, Networks
from training.export.gate import GateFailed, Limits, rank1_failures
from training.export.manifest_file import sync_file, sync_folder, write_manifest
from training.export.write_graphs import ENCODERS, Say, write_graphs

Rank1 = Callable[[Runtime], float]  # in percent


def export_bundle(
    networks: Networks,
    crops: Sequence[Image.Image],
    out: Path,
    training: TrainingRecord,
    config: ExportConfig,
    *,
    trained_on: TrainedOn | None = None,
    rank1: Rank1 | None = None,
    say: Say = lambda line: None,
) -> Manifest:
    """Writes the bundle `out`, which must not exist yet. Raises GateFailed and leaves nothing behind.

    `trained_on` goes into it: evaluation refuses to test on those images. `rank1` evaluates a runtime; it runs in
    float32 and, where this machine has it, in bfloat16.
    """
    if out.exists():
        raise FileExistsError(f"{out} exists already: remove it or choose another name")
    out.parent.mkdir(parents=True, exist_ok=True)
    with _folder_beside(out) as folder:
        if trained_on is not None and trained_on.sets:
            write_trained_on(trained_on, folder)
        manifest = _write(networks, crops, folder, training, config, say)
        if rank1 is not None:
            manifest = _with_rank1(folder, manifest, rank1, config.limits, say)
        for file in folder.rglob("*"):
            sync_folder(file) if file.is_dir() else sync_file(file)
        folder.rename(out)
    sync_folder(out.parent)
    return manifest


@contextmanager
def _folder_beside(out: Path) -> Iterator[Path]:
    """On the same file system, so that one rename moves it; removed if that does not happen."""
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        (work / "bundle").mkdir()
        yield work / "bundle"
    finally:
        shutil.rmtree(work)


def _write(
    networks: Networks,
    crops: Sequence[Image.Image],
    folder: Path,
    training: TrainingRecord,
    config: ExportConfig,
    say: Say,
) -> Manifest:
    written = write_graphs(networks, crops, folder, config, say)
    files = {
        file.relative_to(folder).as_posix(): sha256_of(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    manifest = Manifest(
        bundle_id=bundle_id(files),
        name=config.name,
        created=datetime.now(UTC).replace(microsecond=0),
        dimension=networks.embedder.config.embedding_dimension,
        preprocessing=written.spec,
        encoders=ENCODERS,
        super_resolution=written.super_resolution,
        hr_reference_height=config.hr_reference[0],
        precision=config.precision,
        training=training,
        parity=written.parity,
        files=files,
    )
    write_manifest(folder, manifest)
    return manifest


def _with_rank1(folder: Path, manifest: Manifest, rank1: Rank1, limits: Limits, say: Say) -> Manifest:
    bundle = Bundle.load(folder)
    float32 = rank1(Runtime(bundle, precision=Precision.FLOAT32))
    say(f"Rank-1 in float32: {float32:.2f}")
    bfloat16 = None
    if Provider.OPENVINO in offered_providers() and has_bfloat16(cpu_flags()):
        bfloat16 = rank1(Runtime(bundle, Provider.OPENVINO, precision=Precision.BFLOAT16))
        say(f"Rank-1 in bfloat16: {bfloat16:.2f}")
        if failures := rank1_failures(float32, bfloat16, limits):
            raise GateFailed("\n".join(failures))
    else:
        say("Rank-1 in bfloat16 is not checked: this machine has no bfloat16")
    values = manifest.model_dump()
    values["parity"] |= {"rank1_float32": float32, "rank1_bfloat16": bfloat16}
    checked = Manifest.model_validate(values)
    write_manifest(folder, checked)
    return checked
