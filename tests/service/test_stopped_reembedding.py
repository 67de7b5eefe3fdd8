"""An update of the program may bring another bundle and take the old one away: the stored pictures suffice."""

import shutil
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from index import Progress
from service import stopped_reembedding
from service.cli import app
from service.settings import Settings
from service.startup import StartupError
from service.stopped_reembedding import move
from tests.service.test_reembedding import enrol, id_of, scores, vectors
from tests.support.live import serving, tiny_settings
from tests.support.tiny_bundle import make_tiny_bundle

PEOPLE = 6


@pytest.fixture
def updated(tmp_path: Path) -> tuple[Settings, dict[str, float]]:
    """The service that has another bundle now, whose gallery holds six people; and the scores of before."""
    old = make_tiny_bundle(tmp_path / "old")
    with serving(tiny_settings(old, tmp_path / "data")) as live, live.client() as client:
        for number in range(PEOPLE):
            assert enrol(client, number).status_code == 201
        before = scores(client)
    shutil.rmtree(old)
    return tiny_settings(make_tiny_bundle(tmp_path / "new", turn=5), tmp_path / "data"), before


def reembed(settings: Settings, *words: str) -> Result:
    environment = {"DGRL_BUNDLE": str(settings.bundle), "DGRL_PROVIDER": "cpu", "DGRL_THREADS": "1"}
    where = ["--stopped", "--data-dir", str(settings.data_dir)]
    return CliRunner().invoke(app, ["reembed", *where, *words], env=environment)


def test_the_gallery_opens_with_the_new_bundle_afterwards(updated: tuple[Settings, dict[str, float]]) -> None:
    settings, before = updated
    with pytest.raises(StartupError, match="`dgrl reembed --stopped` does it now"), serving(settings):
        pass
    said = reembed(settings)
    assert said.exit_code == 0, said.output
    assert f"6 images are embedded with bundle {id_of(settings.bundle)}: start the service" in said.stdout
    with serving(settings) as live, live.client() as client:
        after = scores(client)
        assert client.get("/model").json()["bundle"] == id_of(settings.bundle)
        [line] = [line for line in client.get("/audit").json()["lines"] if line["action"] == "switch"]
    assert after == pytest.approx(before, abs=1e-3) and len(after) == PEOPLE
    assert line["actor"] == "command line"
    again = reembed(settings)
    assert again.exit_code == 2 and "holds vectors of bundle" in again.output and "already" in again.output


def test_it_goes_on_where_it_was_cut_off(
    updated: tuple[Settings, dict[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, _ = updated
    monkeypatch.setattr("service.shadow.AT_ONCE", 2)
    seen: list[int] = []

    def interrupt(progress: Progress) -> None:
        seen.append(progress.embedded)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move(settings, forget_missing=False, actor="test", tell=interrupt)
    assert vectors(settings.data_dir) == {"active": 6, "building": 2}
    done = move(settings, forget_missing=False, actor="test", tell=lambda now: seen.append(now.embedded))
    assert (seen[:2], seen[-1], done.embedded) == ([2, 4], 6, 6)
    assert vectors(settings.data_dir)["active"] == 6


def test_a_job_to_a_bundle_that_is_gone_can_be_given_up(
    updated: tuple[Settings, dict[str, float]], tmp_path: Path
) -> None:
    settings, _ = updated
    third = tiny_settings(make_tiny_bundle(tmp_path / "third", turn=3), settings.data_dir)

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move(third, forget_missing=False, actor="test", tell=interrupt)
    said = reembed(settings)
    assert said.exit_code == 2 and f"to bundle {id_of(third.bundle)} is under way" in said.output
    assert "is given up" in reembed(settings, "--give-up").stdout
    assert reembed(settings).exit_code == 0


def test_what_cannot_be_is_one_sentence_and_makes_nothing(
    updated: tuple[Settings, dict[str, float]], tmp_path: Path
) -> None:
    settings, _ = updated
    elsewhere = settings.model_copy(update={"data_dir": tmp_path / "typo"})
    said = reembed(elsewhere)
    assert said.exit_code == 2 and "name its folder with --data-dir" in said.output
    assert not elsewhere.data_dir.exists()
    words = ["reembed", "--stopped", "--data-dir", str(settings.data_dir)]
    environment = {"DGRL_BUNDLE": str(settings.bundle), "DGRL_PROVIDER": "cuda"}
    said = CliRunner().invoke(app, words, env=environment)
    assert said.exit_code == 2 and "cuda was asked for" in said.output


def test_what_has_no_picture_is_named_and_deleted_only_when_asked(tmp_path: Path) -> None:
    old, new = make_tiny_bundle(tmp_path / "old"), make_tiny_bundle(tmp_path / "new", turn=5)
    with serving(tiny_settings(old, tmp_path / "data", keep_images=False)) as live, live.client() as client:
        enrol(client, 0)
    with serving(tiny_settings(old, tmp_path / "data")) as live, live.client() as client:
        enrol(client, 1)
    settings = tiny_settings(new, tmp_path / "data")
    said = reembed(settings)
    assert said.exit_code == 2 and "p0/0.png must be enrolled again: the picture was not kept" in said.output
    assert "1 cannot be" in said.output and "--forget-missing" in said.output
    with serving(tiny_settings(old, tmp_path / "data")) as live, live.client() as client:
        assert client.get("/gallery").json()["identities"][0]["identity"] == "p0"  # nothing is lost yet
    assert reembed(settings, "--forget-missing").exit_code == 0
    with serving(settings) as live, live.client() as client:
        assert [one["identity"] for one in client.get("/gallery").json()["identities"]] == ["p1"]


def test_a_service_that_runs_is_told_of(updated: tuple[Settings, dict[str, float]], tmp_path: Path) -> None:
    settings, _ = updated
    old = make_tiny_bundle(tmp_path / "old")
    with serving(tiny_settings(old, settings.data_dir)):
        said = reembed(settings)
    assert said.exit_code == 2 and "already open in process" in said.output
    assert reembed(settings, "--give-up").exit_code == 2
    assert list(stopped_reembedding.missing(settings)) == []
