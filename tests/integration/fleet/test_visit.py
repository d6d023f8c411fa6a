"""One session in which a machine is looked at and gets its agent, over a real sshd."""

import signal
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.fleet.reach import connected
from tests.integration.fleet.site import Site

from covey.agent import proctree
from covey.agent.machine import Answer
from covey.errors import BootstrapFailed, ConnectFailed
from covey.fleet.archive import Archive
from covey.fleet.visit import Visit
from covey.testing.nats import CLUSTER
from covey.testing.waiting import wait_until


def _start(site: Site, archive: Archive | None = None) -> Answer:
    with Visit(site.connection, CLUSTER) as visit:
        visit.send(archive or site.archive, site.order.agent)
        return visit.start(site.order)


def _nothing_waits(site: Site) -> None:
    wait_until(lambda: not site.machine.processes(), describe=site.machine.processes)


def test_a_visit_brings_an_agent_that_meets_its_bus(site: Site) -> None:
    started = _start(site)
    assert (started.state, started.agent) == ("started", "lab1")
    site.forward(started)
    site.await_met()
    again = _start(site)
    assert again == replace(started, state="running", bus_number=1)
    # What was forked for the second is gone; the agent has one zygote.
    family = {started.pid, *proctree.descendants(started.pid)}
    wait_until(lambda: set(site.machine.processes()) == family, describe=site.machine.processes)


def test_a_visit_knows_as_much_as_a_probe(site: Site) -> None:
    with Visit(site.connection, CLUSTER) as visit:
        seen = visit.found
    assert replace(seen, now=0, disk_free_bytes=0) == replace(
        site.probe(), now=0, disk_free_bytes=0
    )
    _nothing_waits(site)


def test_an_agent_of_a_visit_has_nothing_of_its_ssh_in_its_environment(site: Site) -> None:
    started = _start(site)
    environment = Path(f"/proc/{started.pid}/environ").read_bytes().split(b"\0")
    names = {entry.partition(b"=")[0] for entry in environment}
    assert not {name for name in names if name.startswith(b"SSH_")}
    assert f"COVEY_OWNER={started.incarnation}".encode() in environment


def test_what_start_up_files_print_is_no_answer_to_a_visit(site: Site) -> None:
    noise = 'echo "Welcome!"; echo "covey-answer: {}"; printf "half a line"; echo oops >&2\n'
    for name in (".bashrc", ".profile", ".zshrc"):
        (site.machine.home / name).write_text(noise)
    assert _start(site).state == "started"


def test_start_up_files_that_never_end_are_cut_off(site: Site) -> None:
    for name in (".bashrc", ".profile", ".zshrc"):
        (site.machine.home / name).write_text("yes welcome\n")
    with pytest.raises(BootstrapFailed, match="no sensible answer in 1,024 KiB"):
        _start(site)
    _nothing_waits(site)


def test_a_visit_that_is_broken_off_leaves_nothing_that_runs(site: Site) -> None:
    with Visit(site.connection, CLUSTER) as visit:
        visit.send(site.archive, site.order.agent)
        # An agent waits for its order there.
        wait_until(lambda: len(site.machine.processes()) > 2, describe=site.machine.processes)
    _nothing_waits(site)
    assert site.look().state == "absent"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo oops >&2; exit 3", "no sensible answer (exit 3: oops)"),
        ("echo 'covey-answer: [1]'", "no sensible answer"),
        ('echo \'covey-answer: {"python": "3.12.1", "cores": "many"}\'', "nonsense"),
        ("head -c 3000000 /dev/urandom", "no sensible answer"),
    ],
)
def test_a_machine_that_answers_a_visit_with_garbage_is_refused(
    site: Site, script: str, said: str
) -> None:
    python = site.machine.home / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    with (
        connected(site.lab, python=str(python)) as (connection,),
        pytest.raises(BootstrapFailed) as refused,
    ):
        Visit(connection, CLUSTER)
    assert said in str(refused.value)
    assert len(str(refused.value)) < 300
    _nothing_waits(site)


def test_an_archive_that_is_damaged_on_its_way_is_not_run(site: Site, tmp_path: Path) -> None:
    other = tmp_path / site.archive.name
    data = bytearray(site.archive.read())
    data[len(data) // 2] ^= 1
    other.write_bytes(data)
    with pytest.raises(BootstrapFailed, match="damaged on its way"):
        _start(site, replace(site.archive, path=other))
    _nothing_waits(site)
    assert not list(site.machine.home.rglob("*.pyz"))
    assert _start(site).state == "started"


def test_a_connection_that_is_lost_during_a_visit_is_said(site: Site) -> None:
    with Visit(site.connection, CLUSTER) as visit:
        visit.send(site.archive, site.order.agent)
        proctree.signal_all([one.pid for one in site.machine.servers()[1:]], signal.SIGKILL)
        with pytest.raises(ConnectFailed):
            visit.start(site.order)
    _nothing_waits(site)
