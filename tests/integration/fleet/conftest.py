"""What the tests of machines over ssh share."""

import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.integration.fleet.reach import connected, lab_of
from tests.integration.fleet.site import Site, order_for

from covey.agent import proctree
from covey.fleet import archive as building
from covey.fleet.archive import Archive
from covey.testing.nats import running_server


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache for the archive that machines get, so that it is built once."""
    return tmp_path_factory.mktemp("archives")


@pytest.fixture(scope="session")
def archive(archives: Path) -> Archive:
    """The archive of this covey."""
    return building.current(archives)


@pytest.fixture
def site(archive: Archive) -> Generator[Site]:
    """One machine that can be reached, and a bus."""
    with lab_of() as lab, running_server("lab1") as server, connected(lab) as (connection,):
        machine = lab["lab1"]
        one = Site(lab, machine, connection, server, archive, order_for(server, "lab1"))
        yield one
        proctree.signal_all(machine.processes(), signal.SIGKILL)
