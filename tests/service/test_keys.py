"""The file of keys: hashes only, atomic, private, and honest about damage."""

from pathlib import Path

import pytest

from service.keys import KeysError, KeyStore, Scope


@pytest.fixture
def store(tmp_path: Path) -> KeyStore:
    return KeyStore(tmp_path / "deep" / "keys.json")


def test_a_key_verifies_and_another_does_not(store: KeyStore) -> None:
    first, second = store.create("first", Scope.READ), store.create("second", Scope.ADMIN)
    found = store.verify(first)
    assert found and found.name == "first" and found.scope is Scope.READ
    assert [key.name for key in store.list()] == ["first", "second"]
    swapped = "_".join([*first.split("_")[:2], second.split("_")[2]])
    for wrong in (swapped, first.upper(), first + "0", "", "é", "\udcff", "dgrl__"):
        assert store.verify(wrong) is None


def test_nothing_in_the_file_opens_the_door(store: KeyStore) -> None:
    key = store.create("first", Scope.READ)
    text = store.path.read_text()
    assert key not in text and key.split("_")[2] not in text
    assert store.path.stat().st_mode & 0o777 == 0o600
    assert list(store.path.parent.iterdir()) == [store.path]


def test_another_process_sees_changes_at_once(store: KeyStore) -> None:
    other = KeyStore(store.path)
    assert other.list() == [] and not other.exists()
    key = store.create("first", Scope.READ)
    assert other.verify(key)
    assert store.revoke(key.split("_")[1]) and not store.revoke(key.split("_")[1])
    assert other.verify(key) is None and other.exists()


@pytest.mark.parametrize(
    "damage", [b"", b"{", b'{"format": 2, "keys": []}', b'{"format": 1, "keys": [1]}', b"\xff"]
)
def test_a_damaged_file_is_named(store: KeyStore, damage: bytes) -> None:
    key = store.create("first", Scope.READ)
    store.path.write_bytes(damage)
    with pytest.raises(KeysError, match=r"keys\.json is damaged"):
        store.verify(key)


def test_scopes_include_those_before_them() -> None:
    assert Scope.ADMIN.includes(Scope.READ) and Scope.ENROL.includes(Scope.ENROL)
    assert not Scope.READ.includes(Scope.ENROL) and not Scope.ENROL.includes(Scope.ADMIN)
