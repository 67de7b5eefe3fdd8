"""What /metrics says of the service's state at the moment it is asked."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.live import Live
from tests.support.pictures import encoded, person
from tests.support.tiny_bundle import make_tiny_bundle


def gauges(client: httpx.Client) -> dict[str, float]:
    """By name, with the values of labels behind it."""
    families = text_string_to_metric_families(client.get("/metrics").raise_for_status().text)
    samples = [sample for family in families if family.type == "gauge" for sample in family.samples]
    return {" ".join([sample.name, *sample.labels.values()]): sample.value for sample in samples}


def test_queue_disk_and_memory(serve: Callable[..., Live]) -> None:
    live = serve(queue_images=70)
    with live.client() as client, live.services.admission.admit(3):
        found = gauges(client)
    assert found["dgrl_queue_images"] == 3 and found["dgrl_queue_limit_images"] == 70
    disk = shutil.disk_usage(live.services.settings.data_dir)
    assert found["dgrl_disk_size_bytes"] == disk.total
    assert 0 < found["dgrl_disk_free_bytes"] < disk.total
    assert found["dgrl_memory_available_bytes"] > 0


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """One that is there in any Linux."""
    folder = Path("/dev/shm") / f"dgrl-{tmp_path.name}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def test_the_disk_is_that_of_the_gallery(other_disk: Path, serve: Callable[..., Live]) -> None:
    with serve(gallery=f"sqlite:///{other_disk / 'gallery.db'}").client() as client:
        assert gauges(client)["dgrl_disk_size_bytes"] == shutil.disk_usage(other_disk).total


def test_a_reembedding_shows_its_progress_while_it_is_under_way(
    serve: Callable[..., Live], tmp_path: Path
) -> None:
    live = serve(next_bundle=make_tiny_bundle(tmp_path / "next", turn=5))
    with live.client() as client:
        picture = {"images": encoded(person(1))}
        assert client.post("/gallery", files=picture, data={"identity": "anna"}).status_code == 201
        assert not [name for name in gauges(client) if name.startswith("dgrl_reembedding")]
        client.post("/reembedding").raise_for_status()
        states = {
            name: value for name, value in gauges(client).items() if name.startswith("dgrl_reembedding")
        }
        assert sum(states.values()) == 1
        assert {name.split()[1] for name in states} == {"embedded", "pending", "missing"}
        client.delete("/reembedding").raise_for_status()
        assert not [name for name in gauges(client) if name.startswith("dgrl_reembedding")]


def test_a_gallery_that_does_not_answer_has_no_metrics_and_the_rest_has(serve: Callable[..., Live]) -> None:
    live = serve()
    with live.client() as client:
        assert gauges(client)["dgrl_gallery_images"] == 0
        live.services.gallery.close()
        found = gauges(client)
    assert "dgrl_gallery_images" not in found and found["dgrl_queue_images"] == 0
