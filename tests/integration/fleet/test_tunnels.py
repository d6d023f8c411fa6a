"""The head keeps the connections to machines: lost ones are made again, tasks go on meanwhile."""

import os
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration.fleet.room import LONG_S, Room, room_of

from covey.agent import proctree
from covey.testing.ending import ended
from covey.testing.sshd import Fleet
from covey.testing.waiting import COMMAND_MAX_S, wait_until

pytestmark = pytest.mark.timeout(300)


def _await_new_tunnel(room: Room, name: str, old: int) -> int:
    """Wait until another ssh process carries the bus; its process id."""
    wait_until(
        lambda: room.tunnel(name)["pid"] not in (0, old),
        describe=lambda: (room.tunnel(name), room.log()[-1500:]),
        timeout_s=LONG_S,
    )
    return int(room.tunnel(name)["pid"])


def _slow_map(room: Room, seconds: float, items: int) -> int:
    """A durable job whose tasks write down each start; returns when all of them have begun."""
    marks = room.lab.directory / "starts"
    marks.mkdir()
    command = f"mktemp {marks}/{{}}.XXXXXX; sleep {seconds}; echo {{}}"
    call = room.lab.map("-j2", command, ":::", *map(str, range(1, items + 1)))
    wait_until(
        lambda: len(list(marks.iterdir())) >= min(items, 2),
        describe=lambda: call.err,
        timeout_s=LONG_S,
    )
    return len(room.lab.view.jobs())


def _ran_once(room: Room, job: int, items: int) -> None:
    """Every item succeeded, and none was started twice."""
    room.lab.await_done(job, items)
    starts = sorted(path.name.split(".")[0] for path in (room.lab.directory / "starts").iterdir())
    assert starts == sorted(map(str, range(1, items + 1)))
    assert [row.exit for row in room.lab.outcomes(job)] == [0] * items


def test_a_killed_ssh_is_made_again_and_tasks_run_on(archives: Path) -> None:
    with room_of(archives) as room:
        room.up("lab1", "--slots", "2")
        job = _slow_map(room, 4, 2)
        first = room.tunnel("lab1")
        os.kill(first["pid"], signal.SIGKILL)
        _await_new_tunnel(room, "lab1", first["pid"])
        # A file of its own for each connection: a stale one would make ssh fail.
        assert room.tunnel("lab1")["n"] > first["n"]
        _ran_once(room, job, 2)
        room.await_state("lab1", "ready")


def test_the_next_head_adopts_the_connections_of_one_that_was_killed(archives: Path) -> None:
    with room_of(archives, count=2) as room:
        room.up("lab1", "lab2", "--slots", "1")
        job = _slow_map(room, 6, 2)
        before = {name: room.tunnel(name) for name in ("lab1", "lab2")}
        head = room.head()
        os.kill(head.pid, signal.SIGKILL)
        room.up()
        assert room.head().pid != head.pid
        assert {name: room.tunnel(name) for name in ("lab1", "lab2")} == before
        _ran_once(room, job, 2)


def test_a_machine_that_goes_away_is_unreachable_with_a_reason_and_comes_back(
    archives: Path,
) -> None:
    with room_of(archives, count=2) as room:
        room.up("lab1", "lab2", "--slots", "1")
        agent = room.agent("lab1")
        room.machine("lab1").kill()
        room.await_state("lab1", "unreachable", "connection refused")
        assert room.lab("status").returncode == 1
        room.machine("lab1").start()
        room.await_state("lab1", "ready")
        # It was never gone: the same agent, adopted.
        assert room.agent("lab1") == agent


def test_a_hung_sshd_makes_its_machine_unreachable_and_the_others_work(archives: Path) -> None:
    with room_of(archives, count=2) as room:
        room.up("lab1", "lab2", "--slots", "1")
        with room.machine("lab1").frozen():
            room.await_state("lab1", "unreachable")
            done = room.lab("map", "echo {}", ":::", "a", "b")
            assert (done.returncode, sorted(done.stdout.split())) == (0, ["a", "b"])
        room.await_state("lab1", "ready")


def test_where_sshd_forbids_sockets_the_bus_comes_over_a_port_with_tls(archives: Path) -> None:
    with room_of(archives) as room:
        room.machine("lab1").restart(AllowStreamLocalForwarding="no")
        room.up("lab1")
        assert room.tunnel("lab1")["remote_port"] > 0
        runtime = Path(room.remote("lab1").runtime_dir)
        assert [path.suffix for path in runtime.glob("bus-*")] == [".port"]
        assert room.lab("map", "echo {}", ":::", "a").returncode == 0
        first = room.tunnel("lab1")
        os.kill(first["pid"], signal.SIGKILL)
        _await_new_tunnel(room, "lab1", first["pid"])
        room.await_state("lab1", "ready")


def test_an_agent_that_died_is_found_by_looking_there(archives: Path) -> None:
    with room_of(archives) as room:
        room.up("lab1")
        os.kill(room.agent("lab1"), signal.SIGKILL)
        room.await_state("lab1", "lost", "covey up lab1")


def test_a_stale_socket_is_no_obstacle(archives: Path) -> None:
    with room_of(archives) as room:
        room.up("lab1")
        first = room.tunnel("lab1")
        stale = Path(room.remote("lab1").runtime_dir) / f"bus-{first['n'] + 1}.sock"
        stale.touch()
        os.kill(first["pid"], signal.SIGKILL)
        _await_new_tunnel(room, "lab1", first["pid"])
        room.await_state("lab1", "ready")


def test_a_tunnel_costs_one_ssh_process_and_a_task_none(archives: Path) -> None:
    with room_of(archives) as room:
        room.up("lab1")
        sessions = room.machine("lab1").log().count("Starting session")
        assert room.lab("map", "echo {}", ":::", *map(str, range(50))).returncode == 0
        assert room.machine("lab1").log().count("Starting session") == sessions
        ours = [p for pid in room.lab.processes() if (p := _name(pid)) == "ssh"]
        assert ours == ["ssh"]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def test_nothing_of_it_is_left_when_head_and_ssh_die_together(archives: Path) -> None:
    with room_of(archives) as room:
        room.up("lab1")
        agent = room.agent("lab1")
        for pid in (room.head().pid, int(room.tunnel("lab1")["pid"])):
            os.kill(pid, signal.SIGKILL)
        assert room.lab("down").returncode == 0
        assert proctree.identify(agent) is None


def test_the_head_waits_for_a_key_and_takes_it_from_whoever_types_a_command(
    archives: Path,
) -> None:
    with room_of(archives) as room, _ssh_agent(room.fleet) as socket:
        # The key itself is out of the head's reach: only the ssh-agent has it.
        hidden = room.fleet.key.rename(room.fleet.key.with_name("hidden"))
        try:
            room.lab.env["SSH_AUTH_SOCK"] = socket
            room.up("lab1")
            first = room.tunnel("lab1")
            # The next head knows no ssh-agent, and its connection is lost.
            os.kill(room.head().pid, signal.SIGKILL)
            room.lab.env["SSH_AUTH_SOCK"] = ""
            room.up()
            os.kill(first["pid"], signal.SIGKILL)
            room.await_state("lab1", "unreachable", "waiting for your key: covey up lab1")
            # Any command brings it the key.
            room.lab.env["SSH_AUTH_SOCK"] = socket
            room.await_state("lab1", "ready")
        finally:
            hidden.rename(room.fleet.key)


@contextmanager
def _ssh_agent(fleet: Fleet) -> Generator[str]:
    """A real ssh-agent that holds the key of the fleet; its socket."""
    socket = str(fleet.client / "agent.sock")
    with ended(subprocess.Popen(["ssh-agent", "-D", "-a", socket], stdout=subprocess.DEVNULL)):
        wait_until(lambda: Path(socket).exists(), timeout_s=LONG_S)
        env = {**os.environ, "SSH_AUTH_SOCK": socket}
        subprocess.run(
            ["ssh-add", "-q", str(fleet.key)], env=env, check=True, timeout=COMMAND_MAX_S
        )
        yield socket
