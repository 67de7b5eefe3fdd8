"""Opens everything that the service needs, or says in one sentence why it cannot start."""

import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from index import Gallery, GalleryError, open_gallery
from model.bundle.calibration import Calibration
from model.bundle.cpu import UnsupportedCpu, cpu_flags, require_avx2, usable_cores
from model.bundle.runtime import MAX_BATCH, Bundle, BundleError, Runtime
from model.bundle.session import ProviderNotGranted
from service.admission import Admission
from service.auth import Gate, NoKeys
from service.inference import Inference
from service.keys import KeysError, KeyStore
from service.machine import available_memory
from service.metrics import Metrics
from service.pipeline import Pipeline
from service.quality import QualityLimits
from service.services import Services
from service.settings import MIB, Settings

log = logging.getLogger("dgrl.service")

_STORE_THREADS = 4
_BYTES_PER_ROW = 200  # of an enrolled image in memory, beside its vector
_IN_MEMORY = {"float32": 4, "float16": 8}  # times the files: two encoders, their compiled copies, workspace


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
    bundle = Bundle.load(settings.bundle)
    if settings.check_memory:
        _check_memory(bundle)
    gallery = open_gallery(
        settings.gallery_uri,
        bundle_id=bundle.manifest.bundle_id,
        dimension=bundle.manifest.dimension,
        keep_images=settings.keep_images,
        retention=settings.retention,
        search=settings.search,
    )
    try:
        services = _assemble(settings, _runtime(settings, bundle), gallery, gate)
        services.inference.warm_up(settings.max_batch)
        first_key = (
            gate.first_key()
        )  # shown once: only when nothing can fail any more between writing and showing it
    except BaseException:
        gallery.close()
        raise
    _tell(services, first_key)
    return services


def _runtime(settings: Settings, bundle: Bundle) -> Runtime:
    limit = settings.gpu_memory_mib
    return Runtime(
        bundle,
        settings.provider,
        threads=settings.threads or None,
        precision=settings.precision,
        gpu_memory_limit=None if limit is None else limit * MIB,
    )


def _assemble(settings: Settings, runtime: Runtime, gallery: Gallery, gate: Gate) -> Services:
    metrics = Metrics()
    inference = Inference(runtime, settings, metrics)
    services = Services(
        settings=settings,
        manifest=runtime.manifest,
        inference=inference,
        pipeline=Pipeline(settings, inference),
        calibration=Calibration(runtime.manifest),
        gallery=gallery,
        gate=gate,
        admission=Admission(settings.queue_images),
        metrics=metrics,
        store_threads=ThreadPoolExecutor(_STORE_THREADS, thread_name_prefix="store"),
        notes=tuple(notes(settings, runtime, gallery, gate)),
    )
    metrics.watch("dgrl_queue_images", "Images in work or waiting", lambda: services.admission.inside)
    metrics.watch("dgrl_gallery_images", "Images in the gallery", lambda: gallery.count().images)
    metrics.watch("dgrl_gallery_identities", "Identities in the gallery", lambda: gallery.count().identities)
    metrics.describe(bundle=runtime.manifest.bundle_id, provider=runtime.granted, precision=runtime.precision)
    return services


def notes(settings: Settings, runtime: Runtime, gallery: Gallery, gate: Gate) -> list[str]:
    """Every value that is not simply the one that was set."""
    manifest, counts = runtime.manifest, gallery.count()
    found = [
        f"provider: {settings.provider} asked, {runtime.granted} granted",
        f"precision: {settings.precision} asked, {runtime.precision} used",
        f"threads of one inference: {settings.threads or usable_cores()}",
        f"gallery images are flagged below a height of {QualityLimits.of(settings, manifest).min_height}",
        f"gallery: {counts.identities} identities, {counts.images} images, about "
        f"{_megabytes(counts.images * (2 * manifest.dimension + _BYTES_PER_ROW))} MB in memory",
    ]
    if settings.search != "exact":
        found.append(
            f"search: {settings.search} from 10,000 images on; its recall is logged and in /model once it is built"
        )
    if settings.retention is not None:
        found.append(f"images are deleted {settings.retention_days:g} days after their enrolment")
    found.append(
        f"request bodies in memory: at most {_megabytes(settings.body_limits.max_bytes_together)} MB"
    )
    largest = min(1 << (settings.max_batch.bit_length() - 1), MAX_BATCH)
    if largest != settings.max_batch:
        found.append(f"max_batch: {settings.max_batch} asked, batches of at most {largest} are run")
    rates = sorted({t.far for bucket in manifest.calibration for t in bucket.thresholds})
    if not manifest.calibration:
        found.append("the bundle has no calibration: `probability` and `match` are null")
    elif settings.match_far not in rates:
        found.append(f"match_far: the bundle has no threshold at {settings.match_far:g}; `match` is null")
    if gate.open:
        found.append(f"no API keys: whoever reaches {settings.host} may do everything")
    return found


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


def _check_memory(bundle: Bundle) -> None:
    weights = sum((bundle.path / name).stat().st_size for name in bundle.manifest.files)
    needed, available = weights * _IN_MEMORY[bundle.manifest.precision], available_memory()
    if available is not None and needed > available:
        raise StartupError(
            f"the bundle needs about {_megabytes(needed)} MB of memory, and {_megabytes(available)} are free "
            "(DGRL_CHECK_MEMORY=false starts all the same)"
        )


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(f"the data folder {path} cannot be made: {error.strerror}") from error


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f}"
