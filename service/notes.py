"""What a running service says of itself: in the log, at /model and in its metrics."""

from index import Gallery
from model.bundle.cpu import usable_cores
from model.bundle.runtime import MAX_BATCH
from service.auth import Gate
from service.model import Model
from service.quality import QualityLimits
from service.services import Services
from service.settings import Settings

_BYTES_PER_ROW = 200  # of an enrolled image in memory, beside its vector


def notes(settings: Settings, model: Model, gallery: Gallery, gate: Gate) -> list[str]:
    """Every value that is not simply the one that was set."""
    runtime, manifest, counts = model.inference.runtime, model.manifest, gallery.count()
    found = [
        f"bundle: {manifest.bundle_id} ({manifest.name}) of {model.bundle.path}",
        f"provider: {settings.provider} asked, {runtime.granted} granted",
        f"precision: {settings.precision} asked, {runtime.precision} used",
        f"threads of one inference: {settings.threads or usable_cores()}",
        f"gallery images are flagged below a height of {QualityLimits.of(settings, manifest).min_height}",
        f"gallery: {counts.identities} identities, {counts.images} images, about "
        f"{megabytes(counts.images * (2 * manifest.dimension + _BYTES_PER_ROW))} MB in memory",
    ]
    if settings.search != "exact":
        found.append(
            f"search: {settings.search} from 10,000 images on; its recall is logged and in /model once it is built"
        )
    if settings.retention is not None:
        found.append(f"images are deleted {settings.retention_days:g} days after their enrolment")
    found.append(f"request bodies in memory: at most {megabytes(settings.body_limits.max_bytes_together)} MB")
    largest = min(1 << (settings.max_batch.bit_length() - 1), MAX_BATCH)
    if largest != settings.max_batch:
        found.append(f"max_batch: {settings.max_batch} asked, batches of at most {largest} are run")
    rates = sorted({t.far for bucket in manifest.calibration for t in bucket.thresholds})
    if not manifest.calibration:
        found.append("the bundle has no calibration: `probability` and `match` are null")
    elif settings.match_far not in rates:
        there = ", ".join(f"{rate:g}" for rate in rates)
        found.append(
            f"match_far: the bundle has no threshold at {settings.match_far:g} (it has {there}): `match` is null"
        )
    if gate.open:
        found.append(f"no API keys: whoever reaches {settings.host} may do everything")
    return found


def describe(services: Services) -> None:
    runtime = services.inference.runtime
    services.metrics.describe(
        bundle=services.manifest.bundle_id, provider=runtime.granted, precision=runtime.precision
    )


def megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f}"
