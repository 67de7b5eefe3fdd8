"""The README's tables say what the settings and the shipped bundle's manifest say."""

import pytest

from service.settings import Settings
from tests.support.readme import SHIPPED, TABLES, table_in_readme


@pytest.mark.parametrize("name", TABLES)
def test_the_table_is_complete_and_current(name: str) -> None:
    if name == "results" and not SHIPPED.exists():
        pytest.skip("no shipped bundle in this checkout")
    assert table_in_readme(name) == TABLES[name](), "run `python -m tests.support.readme`"


def test_every_setting_is_described() -> None:
    assert not [name for name, field in Settings.model_fields.items() if not field.description]
