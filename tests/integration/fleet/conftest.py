"""What the tests of machines over ssh share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for the archive that machines get, so that it is built once."""
    return tmp_path_factory.mktemp("archives")
