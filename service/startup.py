"""Opens everything that the service needs, or says in one sentence why it cannot start."""

import logging
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from index import Gallery, GalleryError, WrongBundle, open_gallery
from model.bundle.cpu import UnsupportedCpu, cpu_flags, require_avx2
from model.bundle.runtime import Bundle, BundleError
from model.bundle.session import ProviderNotGranted
from service.admission import Admission
from service.auth import Gate, NoKeys
from service.batching import Lanes
from service.gauges import State
from service.keys import KeysError, KeyStore
from service.machine import available_memory
from service.metrics import Metrics
from service.model import open_model
from service.notes import describe, megabytes, notes
from service.services import Services
from service.settings import Settings

log = logging.getLogger("dgrl.service")

_STORE_THREADS = 4
_IN_MEMORY = {"float32": 3, "float16": 5}  # times the files: the compiled copies of the weights, workspace
_WITHOUT_TRUNK = 3 / 5  # of all that once more: each encoder has a trunk of its own


class StartupError(RuntimeError):
    """One sentence for the person who starts the service."""


EXPECTED = (BundleError, ProviderNotGranted, UnsupportedCpu, GalleryError, KeysError, NoKeys)


def open_services(settings: Settings) -> Services:
    try:
        return _open(settings)
    except EXPECTED as error:
        raise StartupError(str(error)) from error


def _open(settings: Settings) -> Services:
    require_avx2(cpu_flags())
    _make_folder(settings.data_dir)
    gate = Gate(settings, KeyStore(settings.keys_path))
    bundles = _bundles(settings)
    if settings.check_memory:
        _check_memory(bundles)
    gallery, served, other = _gallery(settings, bundles)
    try:
        services = _assemble(settings, gallery, served, other, gate)
        first_key = gate.first_key()  # last, as it is shown once: nothing can fail any more in between
    except BaseException:
        gallery.close()
        raise
    _tell(services, first_key)
    return services


def _bundles(settings: Settings) -> list[Bundle]:
    bundles = [Bundle.load(path) for path in (settings.bundle, settings.next_bundle) if path is not None]
    if len({bundle.manifest.bundle_id for bundle in bundles}) < len(bundles):
        raise StartupError("DGRL_NEXT_BUNDLE is the same bundle as DGRL_BUNDLE: unset it")
    return bundles


def _gallery(settings: Settings, bundles: Sequence[Bundle]) -> tuple[Gallery, Bundle, Bundle | None]:
    """With the bundle whose vectors it holds, and the one that is configured beside it.

    After a switch it holds those of the next bundle, until that is made DGRL_BUNDLE.
    """
    refusals = []
    for bundle in bundles:
        try:
            gallery = open_gallery(
                settings.gallery_uri,
                bundle_id=bundle.manifest.bundle_id,
                dimension=bundle.manifest.dimension,
                keep_images=settings.keep_images,
                retention=settings.retention,
                search=settings.search,
            )
        except WrongBundle as error:
            refusals.append(str(error))
            continue
        return gallery, bundle, next((other for other in bundles if other is not bundle), None)
    raise StartupError(
        f"{refusals[0]} (`dgrl reembed --stopped` does it now, from the stored pictures; to serve meanwhile, give its"
        " own bundle as DGRL_BUNDLE and the new one as DGRL_NEXT_BUNDLE, then run `dgrl reembed`)"
    )


def _assemble(
    settings: Settings, gallery: Gallery, bundle: Bundle, other: Bundle | None, gate: Gate
) -> Services:
    metrics, lanes, admission = Metrics(), Lanes(settings.lanes), Admission(settings.queue_images)
    model = open_model(settings, bundle, lanes, metrics)
    services = Services(
        settings=settings,
        model=model,
        other=other,
        gallery=gallery,
        gate=gate,
        admission=admission,
        metrics=metrics,
        lanes=lanes,
        store_threads=ThreadPoolExecutor(_STORE_THREADS, thread_name_prefix="store"),
        notes=tuple(notes(settings, model, gallery, gate)),
    )
    metrics.watch(State(settings, gallery, admission))
    describe(services)
    return services


def _tell(services: Services, first_key: str | None) -> None:
    for name, value in services.settings.overrides().items():
        log.info("setting %s is %s", name, value)
    for note in services.notes:
        log.info(note)
    if first_key:
        print(
            f"\n  This is the first start. Admin API key, shown only now:\n\n      {first_key}\n",
            file=sys.stderr,
            flush=True,
        )


def _check_memory(bundles: Sequence[Bundle]) -> None:
    needed, available = sum(_in_memory(bundle) for bundle in bundles), available_memory()
    if available is not None and needed > available:
        subject = "the bundle needs" if len(bundles) == 1 else "the two bundles need"
        raise StartupError(
            f"{subject} about {megabytes(needed)} MB of memory, and {megabytes(available)} are free "
            "(DGRL_CHECK_MEMORY=false starts all the same)"
        )


def _in_memory(bundle: Bundle) -> int:
    weights = sum((bundle.path / name).stat().st_size for name in bundle.manifest.files)
    copies = 1 if bundle.manifest.encoders.trunk else 1 + _WITHOUT_TRUNK
    return int(weights * _IN_MEMORY[bundle.manifest.precision] * copies)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(f"the data folder {path} cannot be made: {error.strerror}") from error
