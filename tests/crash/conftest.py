from collections.abc import Iterator

import pytest

from tests.crash.service import TARGET
from tests.support.zygote import Zygote, zygote


@pytest.fixture(scope="session")
def servers() -> Iterator[Zygote]:
    with zygote(TARGET) as process:
        yield process
