"""The life of an agent on a machine over ssh: start, its tunnels, stop, purge."""

import hashlib
import os
import signal
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.bus.tunnels import make_authority
from tests.integration.fleet.reach import connected, lab_of
from tests.integration.fleet.site import Site, order_for

from covey.agent import proctree
from covey.agent.machine import Answer
from covey.errors import BootstrapFailed
from covey.fleet import bootstrap
from covey.fleet.archive import Archive
from covey.testing.nats import running_server
from covey.testing.waiting import wait_until

# ---------------------------------------------------------------- start


def test_an_agent_starts_meets_its_bus_and_is_started_once(site: Site) -> None:
    started = site.start()
    assert started.state == "started"
    assert started.agent == "lab1"
    assert started.workdir == str(site.machine.home)
    assert started.slots == len(os.sched_getaffinity(0))
    assert Path(started.runtime_dir).stat().st_mode & 0o777 == 0o700
    site.forward(started)
    site.await_met()
    again = site.start()
    assert again == replace(started, state="running", bus_number=1)
    assert site.look() == again


def test_no_key_is_left_on_disk_nor_in_arguments_or_environments(site: Site) -> None:
    started = site.start()
    for secret in (site.order.key, site.order.password):
        for path in (p for p in site.machine.home.rglob("*") if p.is_file()):
            assert secret.encode() not in _content(path), path
        assert started.pid in site.machine.processes()
        for pid in site.machine.processes():
            for name in ("environ", "cmdline"):
                assert secret.encode() not in _content(Path(f"/proc/{pid}/{name}"))
    # Others of the account cannot look into its memory: the files of /proc are root's.
    assert Path(f"/proc/{started.pid}/mem").stat().st_uid == 0


def test_no_key_is_in_the_memory_that_the_users_code_shares(site: Site) -> None:
    agent = site.start().pid
    others = [pid for pid in site.machine.processes() if pid != agent]
    assert others, "no zygote"
    for pid in others:
        memory = _memory(pid)
        assert site.machine.name.encode() in memory
        for secret in (site.order.key, bytes.fromhex(site.order.key), site.order.password):
            data = secret if isinstance(secret, bytes) else secret.encode()
            assert data not in memory


def _memory(pid: int) -> bytes:
    """What is written or could be, of a process."""
    found = b""
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights = line.split()[:2]
            first, last = (int(number, 16) for number in span.split("-"))
            if rights.startswith("rw"):
                memory.seek(first)
                found += memory.read(last - first)
    return found


def _content(path: Path) -> bytes:
    """b"" of what is gone by now: the shell that started it, a file that was put in its place."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_an_agent_outlives_ssh_and_follows_the_next_tunnel(site: Site) -> None:
    started = site.start()
    first = site.forward(started)
    site.await_met()
    site.machine.kill()
    site.await_met(0)
    site.machine.start()
    site.connection.open()
    assert site.look().pid == started.pid
    # What a dead sshd left would make ssh fail: the next has another number.
    assert first.exists()
    assert site.look().bus_number == 1
    site.forward(started)
    site.await_met()
    # The server counts it before the agent, which was met by then, has removed the other.
    wait_until(lambda: not first.exists(), describe=lambda: list(first.parent.iterdir()))


def test_a_machine_that_forwards_no_sockets_is_met_through_a_port_with_tls(
    tmp_path: Path, archive: Archive
) -> None:
    ca, tls = make_authority(tmp_path / "authority")
    with (
        # Of another account than root: the port belongs to that account, and the agent looks.
        lab_of(users=os.getuid() == 0) as lab,
        running_server("lab1", tls=tls) as server,
        connected(lab) as (connection,),
    ):
        lab["lab1"].restart(AllowStreamLocalForwarding="no")
        connection.open()
        order = replace(order_for(server, "lab1"), ca=ca)
        site = Site(lab, lab["lab1"], connection, server, archive, order)
        started = site.start()
        port = connection.forward_port(server.process.port)
        written = Path(started.runtime_dir) / "bus-1.new"
        written.write_text(f"{port}\n")
        written.rename(written.with_suffix(".port"))
        site.await_met()
        site.stop()


def test_another_archive_is_said_and_replaced_only_after_a_stop(site: Site, tmp_path: Path) -> None:
    started = site.start()
    newer = tmp_path / "newer.pyz"
    newer.write_bytes(site.archive.read())
    with zipfile.ZipFile(newer, "a") as file:
        file.writestr("covey/news.py", "")
    data = newer.read_bytes()
    other = Archive(newer, hashlib.sha256(data).hexdigest(), len(data))
    outdated = site.start(archive=other)
    assert (outdated.state, outdated.pid) == ("outdated", started.pid)
    assert outdated.archive == site.archive.name
    site.stop()
    replaced = site.start(archive=other)
    assert (replaced.state, replaced.archive) == ("started", other.name)
    # And back again, as by a rollback: it is still there.
    assert site.archive.name in site.probe().archives


def test_an_agent_with_the_key_of_an_earlier_cluster_is_replaced(site: Site) -> None:
    old = site.start()
    new = site.start(order_for(site.server, "lab1"))
    assert new.state == "started"
    assert new.incarnation != old.incarnation
    assert proctree.identify(old.pid) is None
    assert not Path(old.runtime_dir).exists()


def test_an_agent_that_was_killed_is_cleaned_up_after_and_started_again(site: Site) -> None:
    old = site.start()
    os.kill(old.pid, signal.SIGKILL)
    wait_until(lambda: proctree.identify(old.pid) is None)
    assert site.look().state == "absent"
    new = site.start()
    assert new.state == "started"
    assert not Path(old.runtime_dir).exists()
    assert proctree.find_owned(old.incarnation) == []


def test_an_archive_that_was_changed_there_is_not_run(site: Site) -> None:
    found = site.probe()
    bootstrap.send_archive(site.connection, found, site.archive)
    found = site.probe()
    there = Path(found.cache) / site.archive.name
    there.write_bytes(site.archive.read() + b"x")
    with pytest.raises(BootstrapFailed, match="damaged"):
        bootstrap.start(site.connection, found, site.archive, site.order)
    assert not there.exists()
    assert site.start().state == "started"


def test_two_starts_at_once_start_one_agent(site: Site) -> None:
    site.start()
    site.stop()
    found = site.probe()

    def start(_: int) -> Answer:
        return bootstrap.start(site.connection, found, site.archive, site.order)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(start, range(4)))
    assert sorted(a.state for a in answers) == ["running"] * 3 + ["started"]
    assert len({a.pid for a in answers}) == 1


def test_slots_and_working_directory_are_as_ordered(site: Site) -> None:
    started = site.start(replace(site.order, slots="3", workdir="~/a b/c"))
    assert started.slots == 3
    assert started.workdir == str(site.machine.home / "a b" / "c")
    site.stop()
    with pytest.raises(BootstrapFailed, match="slots 'many'"):
        site.start(replace(site.order, slots="many"))


def test_agents_that_share_a_home_have_working_directories_of_their_own(archive: Archive) -> None:
    with (
        lab_of(count=2, shared_home=True) as lab,
        running_server("lab1", "lab2") as server,
        connected(lab) as connections,
    ):
        before = lab["lab1"].files()
        sites = [
            Site(lab, lab[c.host.name], c, server, archive, order_for(server, c.host.name))
            for c in connections
        ]
        orders = [replace(site.order, is_home_shared=True) for site in sites]
        started = [site.start(order) for site, order in zip(sites, orders, strict=True)]
        home = lab["lab1"].home
        assert [a.workdir for a in started] == [f"{home}/covey/lab1", f"{home}/covey/lab2"]
        assert sites[0].purge().state == "purged"
        # The other one is none of its business.
        assert sites[1].look().state == "running"
        assert sites[1].purge().state == "purged"
        assert lab["lab1"].files() == before


# ---------------------------------------------------------------- the end


def test_a_stopped_agent_leaves_no_process_socket_or_key(site: Site) -> None:
    started = site.start()
    site.forward(started)
    site.await_met()
    assert site.stop().state == "stopped"
    assert site.machine.processes() == []
    assert not Path(started.runtime_dir).exists()
    assert not [name for name in site.machine.files() if name.startswith("tmp/")]
    assert site.stop().state == "absent"


def test_a_frozen_agent_is_stopped_too(site: Site) -> None:
    started = site.start()
    os.kill(started.pid, signal.SIGSTOP)
    assert site.stop().state == "stopped"
    assert site.machine.processes() == []


def test_an_agent_that_never_meets_its_bus_ends_by_itself(site: Site) -> None:
    started = site.start(replace(site.order, without_bus_s=0.5))
    wait_until(lambda: proctree.identify(started.pid) is None)
    wait_until(lambda: site.machine.processes() == [])
    assert not Path(started.runtime_dir).exists()
    assert not list(site.machine.home.rglob("agent.json"))
    (log,) = site.machine.home.rglob("agent.log")
    assert "this agent ends" in log.read_text()


def test_an_agent_that_lost_its_bus_for_good_ends_by_itself(site: Site) -> None:
    started = site.start(replace(site.order, without_bus_s=1.0))
    site.forward(started)
    site.await_met()
    site.connection.close()
    wait_until(lambda: site.machine.processes() == [])
    assert not Path(started.runtime_dir).exists()


def test_a_purge_leaves_what_was_there_before_and_what_is_the_users(site: Site) -> None:
    before = site.machine.files()
    site.start(replace(site.order, workdir="~/work/here"))
    site.purge()
    assert site.machine.files() == before
    site.start(replace(site.order, workdir="~/work/here"))
    (site.machine.home / "work/here/mine").write_text("dear to me")
    assert site.purge().state == "purged"
    assert site.machine.processes() == []
    assert site.machine.files() == [*before, "home/work", "home/work/here", "home/work/here/mine"]


def test_a_purge_needs_nothing_of_what_it_removes(site: Site) -> None:
    before = site.machine.files()
    site.start()
    for path in site.machine.home.rglob("*.pyz"):
        path.unlink()
    assert site.purge().state == "purged"
    assert site.machine.processes() == []
    assert site.machine.files() == before
