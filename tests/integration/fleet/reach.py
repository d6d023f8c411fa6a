"""Machines of the test kit as covey's own connections reach them."""

import os
import shutil
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from covey.fleet.host import Host
from covey.fleet.ssh import Connection, Ssh
from covey.testing.programs import Unavailable, find_python
from covey.testing.sshd import Fleet, fleet

_TOO_OLD = frozenset({"2.7", "3.9"})


@contextmanager
def lab_of(
    *pythons: str, count: int = 1, shared_home: bool = False, users: bool = False
) -> Generator[Fleet]:
    """Machines lab1 …, with these Pythons; skips where the computer lacks something."""
    count = max(count, len(pythons))
    with (
        needing(pythons),
        fleet(count, pythons=pythons, shared_home=shared_home, users=users) as lab,
    ):
        yield lab


def python_of(version: str) -> Path:
    """A Python of this version; skips where there is none."""
    with needing((version,)):
        return find_python(version)


@contextmanager
def needing(pythons: Sequence[str] = ()) -> Generator[None]:
    """Skip where the computer lacks something; in CI that is a failure."""
    try:
        yield
    except Unavailable as missing:
        # Pythons that covey does not run on need not be anywhere.
        is_optional = any(word in _TOO_OLD for python in pythons for word in python.split())
        if os.environ.get("CI") and not is_optional:
            raise
        pytest.skip(str(missing))


@contextmanager
def connected(lab: Fleet, names: Sequence[str] = (), **of_host: str) -> Generator[list[Connection]]:
    """An open connection to each; closed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="cv-", dir="/tmp"))
    ssh = Ssh(directory / "c", {**os.environ, **lab.env})
    connections = [
        ssh.connection(Host(name, name, python=of_host.get("python", "")))
        for name in names or lab.names
    ]
    try:
        for connection in connections:
            connection.open()
        yield connections
    finally:
        for connection in connections:
            connection.close()
        shutil.rmtree(directory, ignore_errors=True)
