"""Unsafe or misspelt settings are refused with a sentence."""

from pathlib import Path

import pytest

from service.settings import Settings, SettingsError, describe, load_settings


def test_every_setting_is_described() -> None:
    assert all(field.description for field in Settings.model_fields.values())
    assert len(describe()) == len(Settings.model_fields)


def test_the_environment_is_read_and_options_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DGRL_PORT", "8123")
    monkeypatch.setenv("DGRL_MAX_BATCH", "4")
    monkeypatch.setenv("DGRL_KEY", "for the client commands")
    found = load_settings(port=9000, host=None)
    assert (found.port, found.max_batch, found.host) == (9000, 4, "127.0.0.1")
    assert found.overrides() == {"port": 9000, "max_batch": 4}


def test_a_password_is_not_shown() -> None:
    shown = load_settings(gallery="milvus://me:secret@host:19530/people").overrides()
    assert shown == {"gallery": "milvus://***@host:19530/people"}


def test_a_misspelt_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DGRL_MAX_BODY_BYTE", "1")
    with pytest.raises(
        SettingsError, match=r"MAX_BODY_BYTE is not a setting; did you mean DGRL_MAX_BODY_BYTES\?"
    ):
        load_settings()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"auth": "open", "host": "0.0.0.0"}, "auth=open is for loopback only"),
        ({"auth": "none"}, "DGRL_AUTH"),
        ({"port": 70_000}, "DGRL_PORT"),
        ({"max_images": 100, "queue_images": 50}, "queue_images must be at least max_images"),
        ({"top_k": 2000}, "top_k must be at most max_top_k"),
        ({"flag_aspect_min": 6}, "flag_aspect_min must be below"),
        ({"provider": "gpu"}, "DGRL_PROVIDER"),
        ({"deadline_s": 0}, "DGRL_DEADLINE_S"),
        ({"match_far": 1}, "DGRL_MATCH_FAR"),
        ({"portt": 1}, "DGRL_PORTT"),
    ],
)
def test_a_wrong_value_is_named(changes: dict[str, object], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence) as caught:
        load_settings(**changes)
    assert "\n" not in str(caught.value)


def test_the_gallery_lies_in_the_data_folder(tmp_path: Path) -> None:
    assert load_settings(data_dir=tmp_path).gallery_uri == f"sqlite:///{tmp_path}/gallery.db"
    assert load_settings(data_dir=tmp_path).keys_path == tmp_path / "keys.json"
    assert load_settings(gallery="sqlite:///x.db").gallery_uri == "sqlite:///x.db"
