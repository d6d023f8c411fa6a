"""The life of an agent on a machine over ssh: start, its tunnels, stop, purge."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import zipfile
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.integration.bus.tunnels import make_authority
from tests.integration.fleet.reach import connected, lab_of, python_of

from covey.agent import proctree
from covey.agent.machine import Answer, MachineOrder
from covey.errors import BootstrapFailed
from covey.fleet import archive as archives
from covey.fleet import bootstrap
from covey.fleet.archive import Archive
from covey.fleet.bootstrap import Probe
from covey.fleet.ssh import Connection
from covey.testing.machine import Machine
from covey.testing.nats import CLUSTER, TestServer, running_server
from covey.testing.sshd import Fleet
from covey.testing.waiting import wait_until


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    """The archive of this covey."""
    return archives.current(tmp_path_factory.mktemp("archives"))


@dataclass
class Site:
    """A machine, a bus, and what is needed to bring an agent there."""

    lab: Fleet
    machine: Machine
    connection: Connection
    server: TestServer
    archive: Archive
    order: MachineOrder
    tunnels: int = 0

    def probe(self) -> Probe:
        return bootstrap.probe(self.connection, CLUSTER)

    def start(self, order: MachineOrder | None = None, archive: Archive | None = None) -> Answer:
        found, archive = self.probe(), archive or self.archive
        bootstrap.send_archive(self.connection, found, archive)
        return bootstrap.start(self.connection, found, archive, order or self.order)

    def stop(self) -> Answer:
        return bootstrap.stop(self.connection, CLUSTER, self.order.agent)

    def look(self) -> Answer:
        return bootstrap.look(self.connection, CLUSTER, self.order.agent)

    def purge(self) -> Answer:
        return bootstrap.purge(self.connection, CLUSTER, self.order.agent, self.archive)

    def forward(self, agent: Answer) -> Path:
        """A new tunnel; where it ends."""
        self.tunnels += 1
        end = Path(agent.runtime_dir) / f"bus-{self.tunnels}.sock"
        self.connection.forward_socket(str(end), self.server.process.port)
        return end

    def await_met(self, count: int = 1) -> None:
        """Return when so many connections to the bus are open."""
        wait_until(lambda: _connections(self.server.process.port) == count)


def _connections(port: int) -> int:
    """Open connections that a server on this loopback port has."""
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    words = [row.split() for row in rows]
    return sum(1 for w in words if w[1].endswith(f":{port:04X}") and w[3] == "01")


def order_for(server: TestServer, agent: str) -> MachineOrder:
    password = server.passwords[agent]
    return MachineOrder(CLUSTER, CLUSTER, agent, secrets.token_hex(32), f"agent-{agent}", password)


@pytest.fixture
def site(archive: Archive) -> Generator[Site]:
    """One machine that can be reached, and a bus."""
    with lab_of() as lab, running_server("lab1") as server, connected(lab) as (connection,):
        machine = lab["lab1"]
        one = Site(lab, machine, connection, server, archive, order_for(server, "lab1"))
        yield one
        proctree.signal_all(machine.processes(), signal.SIGKILL)


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
            assert secret.encode() not in path.read_bytes(), path
        for pid in site.machine.processes():
            for name in ("environ", "cmdline"):
                assert secret.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
    # Others of the account cannot look into its memory: the files of /proc are root's.
    assert Path(f"/proc/{started.pid}/mem").stat().st_uid == 0


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
    assert not first.exists()


def test_a_machine_that_forwards_no_sockets_is_met_through_a_port_with_tls(
    tmp_path: Path, archive: Archive
) -> None:
    ca, tls = make_authority(tmp_path / "authority")
    with (
        lab_of() as lab,
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
    other = Archive(newer, archives.hashlib.sha256(data).hexdigest(), len(data))
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


# ---------------------------------------------------------------- packages


def _wheel(directory: Path, name: str) -> Path:
    path = directory / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.py", "ANSWER = 42\n")
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        file.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{info}/RECORD", "")
    return path


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_packages_of_a_machine_are_installed_once(site: Site, tmp_path: Path) -> None:
    order = replace(site.order, packages=(str(_wheel(tmp_path, "covey_trial_package")),))
    before = site.machine.files()
    started = site.start(order)
    (python,) = site.machine.home.glob(f".cache/covey/{CLUSTER}/lab1/packages-*/bin/python")
    made_at = python.lstat().st_mtime_ns
    argv = Path(f"/proc/{started.pid}/cmdline").read_bytes().split(b"\0")
    assert argv[0] == os.fsencode(python)
    say = "import covey_trial_package as p; print(p.ANSWER)"
    done = subprocess.run([python, "-c", say], capture_output=True, text=True, check=False)
    assert done.stdout == "42\n", done.stderr
    site.stop()
    site.start(order)
    assert python.lstat().st_mtime_ns == made_at
    site.purge()
    assert site.machine.files() == before


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_packages_that_pip_cannot_install_are_said(site: Site) -> None:
    with pytest.raises(BootstrapFailed) as failed:
        site.start(replace(site.order, packages=("./no-such-wheel-1.0-py3-none-any.whl",)))
    assert "pip cannot install ./no-such-wheel" in str(failed.value)
    assert "packages = in covey.toml" in failed.value.data["remedy"]
    assert site.machine.processes() == []


# ---------------------------------------------------------------- the archive itself


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_archive_runs_on_every_python_that_covey_supports(
    archive: Archive, tmp_path: Path, version: str
) -> None:
    python = python_of(version)
    env = {"HOME": str(tmp_path), "PATH": str(tmp_path), "COVEY_HOME": str(tmp_path)}
    for argv, said in (
        (["--version"], "covey"),
        (["--on-machine", "look", "c", "a"], '"absent"'),
        (["map", "echo {}", ":::", "a"], "no nats-server"),
    ):
        done = subprocess.run(
            [python, "-P", "-s", str(archive.path), *argv],
            capture_output=True,
            text=True,
            env=env,
            cwd=tmp_path,
            check=False,
        )
        assert said in done.stdout + done.stderr, (argv, done)
        assert "Traceback" not in done.stderr


def test_an_archive_is_the_same_whatever_the_order_of_dictionaries(tmp_path: Path) -> None:
    digests: set[str] = set()
    for number in range(2):
        program = (
            "from pathlib import Path; from covey.fleet import archive;"
            f"print(archive.current(Path({str(tmp_path / str(number))!r})).digest)"
        )
        # The second has other modules loaded, and another order of sets.
        more = "import asyncio, sqlite3, decimal, rich.console;" if number else ""
        done = subprocess.run(
            [sys.executable, "-c", more + program],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": str(number)},
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1


def test_archives_of_earlier_versions_are_kept_for_a_while(tmp_path: Path) -> None:
    first = archives.current(tmp_path)
    for number in range(6):
        old = tmp_path / archives.archive_name(f"{number:012x}")
        old.write_bytes(b"older")
        os.utime(old, (number, number))
    with contextlib.suppress(FileNotFoundError):
        (tmp_path / "archive.json").unlink()
    assert archives.current(tmp_path).digest == first.digest
    assert len(archives.earlier(tmp_path)) == archives.KEPT
