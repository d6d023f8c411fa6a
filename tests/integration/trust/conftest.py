"""A lab for each test: what it starts must be gone at its end, or the test fails."""

from collections.abc import Generator
from pathlib import Path

import pytest

from covey.testing.cluster import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Generator[Lab]:
    """`covey` with a home and a runtime directory of its own."""
    with Lab(tmp_path) as lab:
        yield lab
