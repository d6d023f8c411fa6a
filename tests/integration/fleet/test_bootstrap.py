"""A machine is probed and gets the archive, over a real sshd; or says why not."""

import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.integration.fleet.reach import connected, lab_of

from covey.errors import BootstrapFailed
from covey.fleet import bootstrap
from covey.fleet.archive import Archive
from covey.fleet.host import Host
from covey.fleet.probe import Probe, probe, shared_homes
from covey.fleet.ssh import Connection
from covey.fleet.ssh_command import Done
from covey.testing.machine import Machine
from covey.testing.sshd import Fleet
from covey.testing.waiting import COMMAND_MAX_S

CLUSTER = "test"


@pytest.fixture
def lab() -> Generator[Fleet]:
    """One machine."""
    with lab_of() as one:
        yield one


def _probe(lab: Fleet, python: str = "") -> Probe:
    with connected(lab, python=python) as (connection,):
        return probe(connection, CLUSTER)


def _refused(lab: Fleet, python: str = "") -> BootstrapFailed:
    with pytest.raises(BootstrapFailed) as refused:
        _probe(lab, python)
    assert refused.value.data["machine"] == "lab1"
    return refused.value


# ---------------------------------------------------------------- what it is like


def test_a_probe_tells_what_a_machine_is_like(lab: Fleet) -> None:
    found = _probe(lab)
    assert found.platform == f"linux {os.uname().machine}"
    assert found.python.startswith("3.")
    assert found.home == str(lab["lab1"].home)
    assert found.cache == f"{found.home}/.cache/covey/{CLUSTER}"
    assert found.cores == len(os.sched_getaffinity(0))
    assert found.mem_bytes > 2**26
    assert found.disk_free_bytes > 0
    assert abs(found.now - time.time()) < 60
    assert (found.archives, found.agents, found.problem) == ((), (), "")
    assert len(found.home_id) == 32


def test_a_machine_that_is_too_old_says_which_python_it_has() -> None:
    with lab_of("3.9") as lab:
        refused = _refused(lab)
    assert str(refused) == "python 3.9 is too old (3.11 needed)"
    assert "covey.toml" in refused.data["remedy"]


def test_even_python_2_can_say_that_it_is_too_old() -> None:
    with lab_of("2.7") as lab:
        assert str(_refused(lab, "python2.7")) == "python 2.7 is too old (3.11 needed)"


def test_a_newer_python_beside_an_old_python3_is_found() -> None:
    with lab_of("3.9 3.12") as lab:
        found = _probe(lab)
    assert found.python.startswith("3.12.")


def test_a_machine_without_python_says_so() -> None:
    with lab_of("none") as lab:
        assert str(_refused(lab)) == "no python3 found"
        named = _refused(lab, "/opt/py/bin/python3")
    assert str(named) == "/opt/py/bin/python3 is no python there"


def test_the_python_of_the_inventory_is_taken_also_from_the_home(lab: Fleet) -> None:
    home = lab["lab1"].home
    (home / "my tools").mkdir()
    found = shutil.which("python3", path=str(lab["lab1"].directory / "bin"))
    assert found is not None
    (home / "my tools" / "py").symlink_to(found)
    for name in (f"{home}/my tools/py", "~/my tools/py"):
        assert _probe(lab, name).executable == f"{home}/my tools/py"


def test_what_start_up_files_print_is_no_answer(lab: Fleet, archive: Archive) -> None:
    noise = 'echo "Welcome to lab1!"; echo "covey-answer: {}"; printf "half a line"\n'
    for name in (".bashrc", ".profile", ".zshrc"):
        (lab["lab1"].home / name).write_text(noise)
    assert b"half a line" in lab.ssh("lab1", "true").stdout
    with connected(lab) as (connection,):
        found = probe(connection, CLUSTER)
        assert bootstrap.send_archive(connection, found, archive)
        assert bootstrap.look(connection, CLUSTER, "lab1").state == "absent"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo hello", "no sensible answer (exit 0: hello)"),
        ("echo oops >&2; exit 3", "no sensible answer (exit 3: oops)"),
        ("echo 'covey-answer: {\"python\": [1, 2'", "no sensible answer"),
        ("echo 'covey-answer: [1]'", "no sensible answer"),
        ('echo \'covey-answer: {"python": "3.12.1", "cores": "many"}\'', "nonsense"),
        ("head -c 3000000 /dev/urandom", "no sensible answer"),
    ],
)
def test_a_machine_that_answers_garbage_is_refused(lab: Fleet, script: str, said: str) -> None:
    python = lab["lab1"].home / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    refused = _refused(lab, str(python))
    assert said in str(refused)
    assert str(refused).isprintable()
    assert len(str(refused)) < 300


def test_machines_that_share_a_home_are_noticed() -> None:
    with lab_of(count=2, shared_home=True) as lab, connected(lab) as connections:
        probes = {c.host.name: probe(c, CLUSTER) for c in connections}
    assert shared_homes(probes) == {"lab1", "lab2"}
    with lab_of(count=2) as lab, connected(lab) as connections:
        probes = {c.host.name: probe(c, CLUSTER) for c in connections}
        later = replace(probes["lab1"], agents=("lab9",))
    assert shared_homes(probes) == frozenset()
    assert shared_homes({"lab1": later}) == {"lab1"}


# ---------------------------------------------------------------- the archive


def _archives_there(machine: Machine) -> list[Path]:
    return sorted(machine.home.rglob("*.pyz"))


def test_an_archive_is_sent_once_and_is_what_was_built(lab: Fleet, archive: Archive) -> None:
    with connected(lab) as (connection,):
        assert bootstrap.send_archive(connection, probe(connection, CLUSTER), archive)
        found = probe(connection, CLUSTER)
        assert found.archives == (archive.name,)
        assert not bootstrap.send_archive(connection, found, archive)
    (there,) = _archives_there(lab["lab1"])
    assert hashlib.sha256(there.read_bytes()).hexdigest() == archive.digest


@dataclass
class Cutting:
    """A connection that loses the end of what it sends, or damages it."""

    connection: Connection
    keep: int
    damage: bytes = b""

    @property
    def host(self) -> Host:
        return self.connection.host

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float) -> Done:
        sent = stdin[: self.keep] + self.damage
        return self.connection.run(command, stdin=sent, timeout_s=timeout_s)


def test_an_archive_that_was_cut_short_is_not_there(lab: Fleet, archive: Archive) -> None:
    machine = lab["lab1"]
    with connected(lab) as (connection,):
        found = probe(connection, CLUSTER)
        before = machine.files()
        with pytest.raises(BootstrapFailed, match=r"cut short: \d+ of \d+ bytes are missing"):
            bootstrap.send_archive(Cutting(connection, 500_000), found, archive)
        assert machine.files() == before
        with pytest.raises(BootstrapFailed, match="damaged on its way"):
            bootstrap.send_archive(Cutting(connection, -5, b"12345"), found, archive)
        assert machine.files() == before
        assert bootstrap.send_archive(connection, found, archive)


def test_a_connection_that_dies_during_the_transfer_leaves_nothing_under_the_name(
    lab: Fleet, archive: Archive
) -> None:
    machine = lab["lab1"]
    with connected(lab) as (connection,):
        found = probe(connection, CLUSTER)
        reader = machine.home / "slow"
        # A machine that reads a little, and then no more.
        reader.write_text('#!/bin/sh\nexec head -c 100000 >/dev/null && kill -9 "$PPID"\n')
        reader.chmod(0o755)
        slow = replace(found, executable=str(reader))
        with pytest.raises(BootstrapFailed):
            bootstrap.send_archive(connection, slow, archive)
        assert _archives_there(machine) == []
        assert bootstrap.send_archive(connection, found, archive)


# ---------------------------------------------------------------- homes that take nothing


@contextmanager
def _mounted(*argv: str, at: Path) -> Generator[None]:
    if os.getuid() != 0:
        pytest.skip("needs root, to mount")
    done = subprocess.run(
        ["mount", *argv, str(at)],
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_MAX_S,
    )
    if done.returncode:
        pytest.skip(f"cannot mount here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True, timeout=COMMAND_MAX_S)


def test_a_full_disk_is_said_and_what_was_half_written_is_gone(
    lab: Fleet, archive: Archive
) -> None:
    cache = lab["lab1"].home / ".cache"
    cache.mkdir()
    options = ["-t", "tmpfs", "-o", "size=512k", "tmpfs"]
    with _mounted(*options, at=cache), connected(lab) as (connection,):
        found = probe(connection, CLUSTER)
        with pytest.raises(BootstrapFailed, match="No space left on device") as full:
            bootstrap.send_archive(connection, found, archive)
        assert "MB are needed" in full.value.data["remedy"]
        assert not [p for p in Path(found.cache).iterdir() if "pyz" in p.name]


def test_a_home_that_is_read_only_is_said(lab: Fleet) -> None:
    home = lab["lab1"].home
    with _mounted("--bind", "-o", "ro", str(home), at=home):
        refused = _refused(lab)
    assert "Read-only file system" in str(refused)
    assert str(home) in str(refused)
    assert refused.data["remedy"]
