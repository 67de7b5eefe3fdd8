"""What is evaluated, opened from its files, with what the report says about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer

from model.bundle.manifest import sha256_of
from model.bundle.runtime import Bundle, Runtime
from model.bundle.session import Precision, Provider
from training.data.manifest import Manifest
from training.data.unseen import check_not_trained_on, unseen
from training.evaluation.encoders import BundleEncoder, Encoder
from training.evaluation.report import Measured


@dataclass(frozen=True)
class Subject:
    encoder: Encoder
    measured: Measured


def bundle_subject(bundle: Path, provider: Provider, precision: Precision, manifest: Manifest) -> Subject:
    """Raises DatasetError where the bundle was trained on test images of `manifest`."""
    trained = check_not_trained_on([bundle], manifest)
    runtime = Runtime(Bundle.load(bundle), provider, precision=precision)
    measured = Measured(
        name=BundleEncoder.name,
        identity=runtime.manifest.bundle_id,
        source=runtime.manifest.name,
        provider=runtime.granted,
        precision=runtime.precision,
        test_images=unseen(trained),
    )
    return Subject(BundleEncoder(runtime), measured)


# torch is imported where it is needed: a bundle is evaluated without it


def checkpoint_subject(
    checkpoint: Path,
    rcan: Sequence[Path],
    precision: Precision,
    device: str,
    hr_reference: tuple[int, int] | None,
    manifest: Manifest,
) -> Subject:
    """The HR reference is that of the training record beside the checkpoint, unless given.

    Raises DatasetError where checkpoint or RCAN were trained on test images of `manifest`.
    """
    from model.weights import load_dgrl
    from training.config import HR_REFERENCE
    from training.evaluation.torch_encoders import CheckpointEncoder
    from training.record import RECORD_NAME, read_record, weights_identity
    from training.start import super_resolver

    trained = check_not_trained_on([checkpoint, *rcan], manifest)
    computed = _torch_precision(precision)
    record = checkpoint.parent / RECORD_NAME
    recorded = read_record(record).hr_reference if record.is_file() else None
    reference = hr_reference or recorded or HR_REFERENCE
    networks = [super_resolver(path) for path in rcan]
    encoder = CheckpointEncoder(
        load_dgrl(checkpoint).embedder,
        {scale: network for network in networks for scale in network.config.scales},
        hr_reference=reference,
        device=_device(device),
        precision=computed,
    )
    measured = Measured(
        name=encoder.name,
        identity="+".join(weights_identity(path) for path in (checkpoint, *rcan)),
        source=f"{checkpoint.name}, HR reference {reference[0]}x{reference[1]}",
        provider=f"torch {_device(device)}",
        precision=computed,
        test_images=unseen(trained),
    )
    return Subject(encoder, measured)


def baseline_subject(weights: Path, precision: Precision, device: str) -> Subject:
    from training.evaluation.torch_encoders import ImageNetEncoder

    computed = _torch_precision(precision)
    encoder = ImageNetEncoder(weights, device=_device(device), precision=computed)
    measured = Measured(
        name=encoder.name,
        identity=sha256_of(weights)[:16],
        source=weights.name,
        provider=f"torch {_device(device)}",
        precision=computed,
    )
    return Subject(encoder, measured)


def _torch_precision(asked: Precision) -> Literal["bfloat16", "float32"]:
    return "bfloat16" if asked is Precision.BFLOAT16 else "float32"


def _device(name: str) -> str:
    from training.device import choose_device

    try:
        return str(choose_device(name))
    except (ValueError, RuntimeError) as error:  # torch raises the latter for a name that it does not know
        raise typer.BadParameter(str(error)) from error
