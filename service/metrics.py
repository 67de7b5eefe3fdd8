"""What Prometheus reads at /metrics. One registry per application, so that two can live in one process."""

from prometheus_client import CollectorRegistry, Counter, Histogram, Info, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self.requests = self._counter("dgrl_requests", "Requests answered", "method", "route", "status")
        self.request_seconds = self._histogram("dgrl_request_seconds", "From first byte to answer", "route")
        self.stage_seconds = self._histogram("dgrl_stage_seconds", "A stage of one request", "stage")
        self.inference_seconds = self._histogram(
            "dgrl_inference_seconds", "One batch in a session", "session"
        )
        self.batch_images = Histogram(
            "dgrl_batch_images",
            "Images in one batch",
            ["session"],
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self._registry,
        )
        self._about = Info("dgrl_service", "What runs here", registry=self._registry)
        self.images = self._counter("dgrl_images", "Images taken in, by what became of them", "outcome")

    def watch(self, state: Collector) -> None:
        """`state` is asked at each reading."""
        self._registry.register(state)

    def describe(self, **facts: str) -> None:
        self._about.info(facts)

    def text(self) -> bytes:
        return generate_latest(self._registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, label: str) -> Histogram:
        return Histogram(name, text, [label], buckets=_SECONDS, registry=self._registry)
