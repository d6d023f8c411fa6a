"""`covey join`: a machine comes to a head by its own ssh."""

import json
import os
import signal
from pathlib import Path

import pytest
from tests.integration.fleet.far import files_there, head_on, on, view_there
from tests.integration.fleet.room import LONG_S, Room, room_of

from covey.agent import proctree
from covey.scheduler.rows import OutcomeRow
from covey.testing.waiting import wait_until

pytestmark = pytest.mark.timeout(300)


def outcomes(room: Room, job: int) -> list[OutcomeRow]:
    return view_there(room, "lab1").outcomes(job)


def states(room: Room) -> dict[str, str]:
    """State by machine, as `covey --head lab1 status` says it."""
    done = room.lab("--head", "lab1", "status", "--json")
    assert done.returncode in (0, 1), done.stderr
    return {row["name"]: row["state"] for row in json.loads(done.stdout)["machines"]}


def await_state(room: Room, name: str, state: str | None) -> None:
    wait_until(
        lambda: states(room).get(name) == state, describe=lambda: states(room), timeout_s=LONG_S
    )


def nothing_runs(room: Room, name: str) -> None:
    machine = room.machine(name)
    wait_until(
        lambda: not machine.processes(), describe=lambda: machine.processes(), timeout_s=LONG_S
    )


def keeper(room: Room, name: str, agent: str = "desk") -> int:
    path = room.machine(name).home / f".local/state/covey/joined/default.{agent}.json"
    return int(json.loads(path.read_text())["pid"])


def agent_pid(room: Room, name: str, agent: str = "desk") -> int:
    path = room.machine(name).home / f".cache/covey/default/{agent}/agent.json"
    return int(json.loads(path.read_text())["pid"])


def test_a_machine_that_joins_while_a_job_runs_gets_its_share_and_may_leave(
    archives: Path,
) -> None:
    with room_of(archives, count=2) as room, head_on(room, "lab1"):
        gate = room.lab.directory / "gate"
        wait = f"while [ ! -e {gate} ]; do sleep 0.05; done; echo {{}}"
        job = room.lab.start("--head", "lab1", "map", wait, ":::", *"abcdefgh")
        wait_until(lambda: bool(view_there(room, "lab1").jobs()), timeout_s=LONG_S)
        done = on(room, "lab2", "join", "lab1", "--name", "desk", "--slots", "3")
        assert done.returncode == 0, done.stderr
        assert b"joined lab1 as desk: 3 slots" in done.stdout
        assert done.stderr == b""

        def busy() -> int:
            status = room.lab("--head", "lab1", "status", "--json").stdout
            return sum(row["busy"] for row in json.loads(status)["machines"])

        wait_until(lambda: busy() == 4, describe=busy, timeout_s=LONG_S)
        gate.touch()
        assert job.wait() == 0, job.err
        assert sorted(job.out.split()) == [b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h"]
        rows = outcomes(room, 1)
        assert sum(row.agent == "desk" for row in rows) >= 3
        assert {row.attempt for row in rows} == {1}

        done = on(room, "lab2", "leave")
        assert (done.returncode, done.stdout) == (0, b"left lab1 (desk)\n")
        nothing_runs(room, "lab2")
        assert states(room) == {"local1": "ready"}
        done = on(room, "lab2", "leave")
        assert (done.returncode, b"has joined nothing" in done.stderr) == (0, True)


def test_a_lost_connection_is_made_again_and_the_task_runs_on(archives: Path) -> None:
    with room_of(archives, count=2) as room, head_on(room, "lab1"):
        assert on(room, "lab2", "join", "lab1", "--name", "desk").returncode == 0
        gate = room.lab.directory / "gate"
        wait = f"while [ ! -e {gate} ]; do sleep 0.05; done; : {{}}"
        job = room.lab.start("--head", "lab1", "map", "--limit", "desk", wait, ":::", "a")

        def busy() -> dict[str, int]:
            status = json.loads(room.lab("--head", "lab1", "status", "--json").stdout)
            return {row["name"]: row["busy"] for row in status["machines"]}

        wait_until(
            lambda: busy() == {"local1": 0, "desk": 1},
            describe=lambda: (busy(), job.err),
            timeout_s=LONG_S,
        )
        agent = agent_pid(room, "lab2")
        room.machine("lab1").kill()
        room.machine("lab1").start()
        await_state(room, "desk", "ready")
        gate.touch()
        assert job.wait() == 0, job.err
        assert agent_pid(room, "lab2") == agent
        assert [(row.agent, row.attempt) for row in outcomes(room, 1)] == [("desk", 1)]
        assert on(room, "lab2", "leave").returncode == 0


def test_a_keeper_that_was_killed_is_replaced_by_the_next_join(archives: Path) -> None:
    with room_of(archives, count=2) as room, head_on(room, "lab1"):
        assert on(room, "lab2", "join", "lab1", "--name", "desk").returncode == 0
        agent = agent_pid(room, "lab2")
        again = on(room, "lab2", "join", "lab1", "--name", "desk")
        assert again.returncode == 1
        assert b"has joined lab1 as desk already" in again.stderr
        os.kill(keeper(room, "lab2"), signal.SIGKILL)
        assert on(room, "lab2", "join", "lab1", "--name", "desk").returncode == 0
        assert agent_pid(room, "lab2") == agent
        await_state(room, "desk", "ready")
        # An agent that was killed is started again.
        os.kill(agent, signal.SIGKILL)
        wait_until(
            lambda: agent_pid(room, "lab2") != agent and proctree.identify(agent) is None,
            timeout_s=LONG_S,
        )
        await_state(room, "desk", "ready")
        assert on(room, "lab2", "leave").returncode == 0


def test_what_the_head_takes_down_ends_where_it_joined(archives: Path) -> None:
    with room_of(archives, count=2) as room:
        with head_on(room, "lab1"):
            assert on(room, "lab2", "join", "lab1", "--name", "desk").returncode == 0
            assert on(room, "lab2", "join", "lab1", "--name", "other").returncode == 0
            assert set(states(room)) == {"local1", "desk", "other"}
            down = room.lab("--head", "lab1", "down", "other")
            assert (down.returncode, down.stdout) == (0, "left: other\n"), down.stderr
            wait_until(lambda: "other" not in states(room), timeout_s=LONG_S)
            assert files_there(room, "lab1").agent_keys().keys() == {"local1", "desk"}
        nothing_runs(room, "lab2")
        machines = files_there(room, "lab1").dir / "machines"
        assert not [path for path in machines.rglob("*") if "local1" not in str(path)]
        told = room.machine("lab2").home / ".local/state/covey/joined/desk.log"
        assert "was taken down: this machine has left" in told.read_text()


def test_masters_are_tried_in_order_and_what_is_wrong_is_said(archives: Path) -> None:
    with room_of(archives, count=3) as room:
        done = on(room, "lab2", "join", "lab1")
        assert done.returncode == 1
        assert b"cluster default is not up on lab1" in done.stderr
        with head_on(room, "lab1"):
            done = on(room, "lab2", "join", "lab1", "--name", "local1")
            assert done.returncode == 2
            assert b"has a machine local1 already" in done.stderr
            config = room.lab.directory / "slave.json"
            masters = [{"hostname": "lab3"}, {"hostname": "lab1", "port": 33310}]
            config.write_text(json.dumps({"masters": masters}))
            done = on(room, "lab2", "join", "--config", str(config), "--name", "desk")
            assert done.returncode == 0, done.stderr
            assert b"lab3: cluster default is not up on lab3" in done.stderr
            assert b"joined lab1 as desk" in done.stdout
            assert on(room, "lab2", "leave", "desk").returncode == 0
        nothing_runs(room, "lab2")
