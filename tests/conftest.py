"""Fixtures that several rooms share."""

from pathlib import Path

import pytest

from tests.support.tiny_bundle import make_tiny_bundle


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small, complete bundle folder; treat it as read-only."""
    return make_tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")
