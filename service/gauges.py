"""What Prometheus is told of the state at the moment it asks: queue, gallery, re-embedding, memory and disk."""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from index import Gallery, GalleryUnavailable
from index.migrate import DISTRIBUTED, sqlite_path
from service.admission import Admission
from service.machine import available_memory
from service.settings import Settings

log = logging.getLogger("dgrl.service")


class State(Collector):
    """A gallery that does not answer has no metrics meanwhile; the others stay."""

    def __init__(self, settings: Settings, gallery: Gallery, admission: Admission) -> None:
        self._settings = settings
        self._gallery = gallery
        self._admission = admission

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield _gauge("dgrl_queue_images", "Images in work or waiting", self._admission.inside)
        yield _gauge("dgrl_queue_limit_images", "Images past which 429 is answered", self._admission.capacity)
        yield from self._machine()
        try:
            yield from [*self._counts(), *self._reembedding()]
        except GalleryUnavailable as error:
            log.warning("the gallery does not answer, so it has no metrics: %s", error)

    def _machine(self) -> Iterator[GaugeMetricFamily]:
        disk = shutil.disk_usage(_folder(self._settings))
        yield _gauge("dgrl_disk_free_bytes", "Free on the gallery's disk", disk.free)
        yield _gauge("dgrl_disk_size_bytes", "Size of the gallery's disk", disk.total)
        if (memory := available_memory()) is not None:
            yield _gauge("dgrl_memory_available_bytes", "Memory that may still be used", memory)

    def _counts(self) -> Iterator[GaugeMetricFamily]:
        counts = self._gallery.count()
        yield _gauge("dgrl_gallery_images", "Images in the gallery", counts.images)
        yield _gauge("dgrl_gallery_identities", "Identities in the gallery", counts.identities)

    def _reembedding(self) -> Iterator[GaugeMetricFamily]:
        if (job := self._gallery.reembedding()) is None:
            return
        progress = job.progress()
        family = GaugeMetricFamily("dgrl_reembedding_images", "Images of the re-embedding", labels=["state"])
        for state in ("embedded", "pending", "missing"):
            family.add_metric([state], getattr(progress, state))
        yield family


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, value)


def _folder(settings: Settings) -> Path:
    """Of an embedded gallery its own; a service whose gallery is on Milvus has only the data folder."""
    distributed = settings.gallery_uri.startswith(DISTRIBUTED)
    return settings.data_dir if distributed else sqlite_path(settings.gallery_uri).parent
