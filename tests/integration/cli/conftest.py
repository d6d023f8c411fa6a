"""Fixtures of the command line's tests."""

from pathlib import Path

import pytest
from tests.integration.cli.command_line import CommandLine


@pytest.fixture
def covey(tmp_path: Path) -> CommandLine:
    """`covey` with an empty home."""
    return CommandLine(tmp_path / "home")
