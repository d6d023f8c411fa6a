"""`covey up HOSTS`: each machine by itself, in parallel; again repairs."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from tests.integration.fleet.room import LONG_S, room_of

from covey.testing.waiting import COMMAND_MAX_S, wait_until

pytestmark = pytest.mark.timeout(300)


def test_machines_come_up_beside_others_that_cannot(archives: Path) -> None:
    with room_of(archives, count=4) as room:
        room.machine("lab2").kill()
        with room.machine("lab4").frozen():
            done = room.lab("up", "lab1", "lab2", "lab3", "lab4", "nosuch")
        lines = done.stdout.splitlines()
        assert done.returncode == 1, done.stderr
        told = {line.split()[1]: line for line in lines if line.split()[0] in ("✔", "✗")}
        assert {"lab1", "lab3"} <= told.keys(), (done.stdout, done.stderr)
        assert [told[name].split()[0] for name in ("lab1", "lab3")] == ["✔", "✔"]
        assert "linux" in told["lab1"]
        assert "slots" in told["lab1"]
        # A reason, and what to do.
        assert "connection refused" in told["lab2"]
        assert "start sshd there" in told["lab2"]
        assert "no answer" in told["lab4"]
        assert "no machine is called nosuch" in told["nosuch"]
        summary = next(line for line in lines if "·" in line)
        assert "2 machines" in summary
        assert "3 failed" in summary
        assert "again: covey up" in summary
        # Who never came up is no part of the cluster.
        assert sorted(room.lab.states()) == ["lab1", "lab3"]
        assert room.lab("map", "echo {}", ":::", "a", "b", "c").returncode == 0


def test_a_machine_that_forwards_nothing_is_told_at_once_and_comes_up_when_mended(
    archives: Path,
) -> None:
    with room_of(archives, count=2) as room:
        room.machine("lab2").restart(AllowStreamLocalForwarding="no", AllowTcpForwarding="no")
        told = room.up("lab1", "lab2", code=1)
        assert told["lab1"]["state"] == "started"
        assert told["lab2"]["state"] == "failed"
        reason = str(told["lab2"])
        assert "its sshd refuses to forward" in reason
        assert "AllowTcpForwarding yes" in reason, reason
        # It was not waited for what cannot come.
        assert "not ready within" not in reason
        room.machine("lab2").restart(AllowStreamLocalForwarding="", AllowTcpForwarding="")
        assert room.up("lab2")["lab2"]["state"] in ("started", "running")


def test_again_finds_that_nothing_is_to_be_done_without_any_ssh(archives: Path) -> None:
    with room_of(archives, count=2) as room:
        first = room.up("lab1", "lab2")
        assert [first[name]["state"] for name in ("lab1", "lab2")] == ["started", "started"]
        agents = [room.agent(name) for name in ("lab1", "lab2")]
        sessions = [room.machine(name).log().count("Starting session") for name in room.fleet.names]
        for words in (["lab1", "lab2"], []):
            again = room.up(*words)
            assert [again[name]["state"] for name in again] == ["running", "running"]
            assert [row["slots"] > 0 for row in again.values()] == [True, True]
        now = [room.machine(name).log().count("Starting session") for name in room.fleet.names]
        assert now == sessions
        assert [room.agent(name) for name in ("lab1", "lab2")] == agents


def test_a_wrong_address_of_a_machine_that_is_up_changes_nothing(archives: Path) -> None:
    with room_of(archives) as room:
        room.up("lab1")
        agent = room.agent("lab1")
        # Nobody listens there.
        assert room.up("lab1:1", code=1)["lab1"]["error_kind"] == "refused"
        assert room.lab("exec", "lab1", "--", "echo still").stdout == "still\n"
        assert room.up("lab1")["lab1"]["state"] == "running"
        assert room.agent("lab1") == agent
        down = room.lab("down", "lab1")
        assert (down.returncode, down.stdout) == (0, "left: lab1\n"), down.stderr


def test_what_up_leaves_as_it_was_is_said(archives: Path) -> None:
    with room_of(archives) as room:
        refused = room.lab("up", "lab1", "--slots", "many")
        assert refused.returncode == 2
        assert "use a number" in refused.stderr
        room.up("2/lab1")
        assert room.lab("drain", "lab1").returncode == 0
        again = room.up("3/lab1")["lab1"]
        assert (again["state"], again["slots"]) == ("running", 2)
        assert again["notes"] == [
            "it keeps its 2 slots; for 3: covey down lab1, then up again",
            "it drains; takes work again: covey drain --undo lab1",
        ]
        assert room.lab("drain", "--undo", "lab1").returncode == 0
        assert room.up("lab1")["lab1"]["notes"] == again["notes"][:1]


def test_a_dead_agent_is_told_and_up_brings_it_back(archives: Path) -> None:
    with room_of(archives, count=2) as room:
        room.up("lab1", "lab2")
        os.kill(room.agent("lab1"), signal.SIGKILL)
        room.await_state("lab1", "lost", "covey up lab1")
        assert room.lab("status").returncode == 1
        again = room.up()
        assert {name: row["state"] for name, row in again.items()} == {
            "lab1": "started",
            "lab2": "running",
        }
        assert room.lab("status").returncode == 0


def test_new_machines_join_and_the_others_stay_as_they_are(archives: Path) -> None:
    with room_of(archives, count=2) as room:
        room.up("lab1", "--slots", "3")
        before = room.agent("lab1")
        hosts = room.lab.directory / "hosts.txt"
        hosts.write_text("# two of them\nlab1\n\n2/lab2\n")
        room.up("-H", str(hosts))
        assert room.agent("lab1") == before
        assert {name: room.row(name)["slots"] for name in ("lab1", "lab2")} == {
            "lab1": 3,
            "lab2": 2,
        }
        limited = room.lab("status", "--limit", "lab2").stdout
        assert "lab1" not in limited


def test_machines_with_one_home_work_in_directories_of_their_own(archives: Path) -> None:
    with room_of(archives, count=2, shared_home=True) as room:
        told = room.up("lab1", "lab2")
        home = room.machine("lab1").home
        # Whoever came second was told so; the other was moved when that was seen.
        assert any("shares its home" in note for row in told.values() for note in row["notes"])
        directories = {name: room.row(name)["directory"] for name in ("lab1", "lab2")}
        assert directories == {name: f"{home}/covey/{name}" for name in ("lab1", "lab2")}
        assert set(room.lab.states().values()) == {"ready"}


def test_an_archive_can_be_sent_without_starting_anything(archives: Path) -> None:
    with room_of(archives) as room:
        assert room.up("lab1", "--no-start")["lab1"]["state"] == "sent"
        assert list((room.machine("lab1").home / ".cache/covey/default").glob("covey-*.pyz"))
        assert room.machine("lab1").processes() == []
        assert room.lab.processes() == []
        assert not room.files.machines()


def test_a_machine_that_cannot_run_covey_says_why(archives: Path) -> None:
    with room_of(archives, "", "none") as room:
        told = room.up("lab1", "lab2", code=1)
        assert told["lab1"]["state"] == "started"
        assert told["lab2"]["error"] == "no python3 found"
        assert told["lab2"]["remedy"]


def test_when_no_machine_comes_up_nothing_stays(archives: Path) -> None:
    with room_of(archives) as room:
        room.machine("lab1").kill()
        assert room.up("lab1", code=1)["lab1"]["error_kind"] == "refused"
        assert room.lab.processes() == []
        assert not room.lab("status", "--json").stdout.count('"up": true')
        room.machine("lab1").start()


def test_nothing_listens_beyond_loopback(archives: Path) -> None:
    with room_of(archives, count=2) as room:
        room.up("lab1", "lab2")
        ours = set(room.lab.processes())
        for machine in room.fleet.machines.values():
            ours |= set(machine.processes())
        listening = subprocess.run(
            ["ss", "-ltnpH"], capture_output=True, text=True, check=True, timeout=COMMAND_MAX_S
        ).stdout.splitlines()
        mine = [line for line in listening if any(f"pid={pid}," in line for pid in ours)]
        # The bus server.
        assert mine
        assert [line for line in mine if line.split()[3].rsplit(":", 1)[0] != "127.0.0.1"] == []


def test_ctrl_c_ends_up_and_leaves_nothing_half_done(archives: Path) -> None:
    with room_of(archives, count=2) as room:
        with room.machine("lab1").frozen(), room.machine("lab2").frozen():
            call = room.lab.start("up", "lab1", "lab2")
            control = room.files.control_dir()
            wait_until(lambda: len(list(control.glob("*.log"))) == 2, timeout_s=LONG_S)
            call.interrupt()
            assert call.wait() == 130
        wait_until(
            lambda: not room.lab.left(),
            describe=lambda: {"left": room.lab.left()},
            timeout_s=LONG_S,
        )


def test_ctrl_c_while_the_head_starts_leaves_no_head(archives: Path) -> None:
    with room_of(archives, count=1) as room, room.machine("lab1").frozen():
        call = room.lab.start("up", "lab1")
        # The head is started when this has been written.
        machines = room.lab.state_dir / "cluster.json"
        wait_until(machines.exists, timeout_s=LONG_S)
        call.interrupt()
        assert call.wait() == 130
        wait_until(
            lambda: not room.lab.left(),
            describe=lambda: {"left": room.lab.left()},
            timeout_s=LONG_S,
        )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_up_as_ctrl_c_does(archives: Path, number: signal.Signals) -> None:
    with room_of(archives, count=2) as room:
        room.up("lab1")
        with room.machine("lab2").frozen():
            call = room.lab.start("up", "lab1", "lab2")
            logs = room.files.control_dir()
            wait_until(lambda: len(list(logs.glob("*.log"))) == 2, timeout_s=LONG_S)
            call.process.send_signal(number)
            assert call.wait() == 128 + number
            # What it had not come to is no part of the cluster; the rest is as it was.
            assert room.lab.states() == {"lab1": "ready"}
        assert {row["state"] for row in room.up("lab1", "lab2").values()} == {"running", "started"}


def test_machines_of_an_up_that_was_killed_say_what_to_do_and_the_next_one_does_it(
    archives: Path,
) -> None:
    with room_of(archives, count=2) as room:
        room.up("lab1")
        with room.machine("lab2").frozen():
            call = room.lab.start("up", "lab1", "lab2")
            wait_until(lambda: "lab2" in room.lab.states(), timeout_s=LONG_S)
            room.await_state("lab2", "joining", "covey up lab2")
            call.kill()
        assert room.row("lab2")["state"] == "joining"
        assert {row["state"] for row in room.up().values()} == {"running", "started"}
