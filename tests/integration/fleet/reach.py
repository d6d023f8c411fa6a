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
from covey.testing.sshd import Fleet, Unavailable, fleet


@contextmanager
def lab_of(*pythons: str, count: int = 1, shared_home: bool = False) -> Generator[Fleet]:
    """Machines lab1 …, with these Pythons; skips where the computer lacks something."""
    try:
        with fleet(max(count, len(pythons)), pythons=pythons, shared_home=shared_home) as lab:
            yield lab
    except Unavailable as missing:
        if os.environ.get("CI"):
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
