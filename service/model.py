"""A bundle made ready to answer requests."""

from dataclasses import dataclass

from model.bundle.calibration import Calibration
from model.bundle.manifest import Manifest
from model.bundle.runtime import Bundle, Runtime
from service.batching import Lanes
from service.inference import Inference
from service.metrics import Metrics
from service.pipeline import Pipeline
from service.settings import MIB, Settings


@dataclass(frozen=True, slots=True)
class Model:
    bundle: Bundle
    inference: Inference
    pipeline: Pipeline
    calibration: Calibration

    @property
    def manifest(self) -> Manifest:
        return self.bundle.manifest

    def close(self) -> None:
        self.pipeline.close()


def open_model(settings: Settings, bundle: Bundle, lanes: Lanes, metrics: Metrics) -> Model:
    """Opens the sessions and runs each once: seconds, for a real bundle."""
    limit = settings.gpu_memory_mib
    runtime = Runtime(
        bundle,
        settings.provider,
        threads=settings.threads or None,
        precision=settings.precision,
        gpu_memory_limit=None if limit is None else limit * MIB,
    )
    inference = Inference(runtime, settings, lanes, metrics)
    inference.warm_up(settings.max_batch)
    return Model(bundle, inference, Pipeline(settings, inference), Calibration(bundle.manifest))
