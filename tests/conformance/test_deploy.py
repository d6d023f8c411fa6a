"""Rows about machines over ssh: what is told of them, and how covey comes onto them and goes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.cli.schemas import checked
from tests.integration.fleet.room import LONG_S, Room, room_of

from covey.testing.waiting import wait_until

pytestmark = pytest.mark.timeout(300)


@pytest.mark.row(2)
def test_status_tells_which_machines_are_there_and_why_one_is_not(tmp_path: Path):
    with room_of(tmp_path, count=3) as room:
        checked("up", room.lab("up", "lab1", "lab2", "--json").stdout)
        room.lab.env["COVEY_HOSTS"] = "lab1 lab2 lab3"
        room.machine("lab2").kill()
        room.await_state("lab2", "unreachable", "connection refused")
        wait_until(lambda: room.lab.states()["lab1"] == "ready", timeout_s=LONG_S)
        done = room.lab("status", "--json")
        rows = {row["name"]: row for row in checked("status", done.stdout)["machines"]}
        assert {name: row["state"] for name, row in rows.items()} == {
            "lab1": "ready",
            "lab2": "unreachable",
            "lab3": "no agent",
        }
        assert rows["lab3"]["why"] == "bring it up with: covey up lab3"
        assert done.returncode == 1
        table = room.lab("status").stdout
        assert [line.split()[:2] for line in table.splitlines()[2:5]] == [
            ["lab1", "ready"],
            ["lab2", "unreachable"],
            ["lab3", "no"],
        ]
        room.machine("lab2").start()


@pytest.mark.row(26)
def test_config_deploy_start_erase_leave_machines_as_they_were(tmp_path: Path):
    with room_of(tmp_path, count=2) as room:
        before = [machine.files() for machine in room.fleet.machines.values()]
        checked("config", room.lab("config", "-C", "lab.toml", "lab1", "2/lab2", "--json").stdout)
        deployed = checked("up", room.lab("deploy", "-C", "lab.toml", "--json").stdout)
        assert {machine["state"] for machine in deployed["machines"]} == {"sent"}
        assert all(machine.processes() == [] for machine in room.fleet.machines.values())
        started = checked("up", room.lab("start", "-C", "lab.toml", "--json").stdout)
        assert {machine["state"] for machine in started["machines"]} == {"started"}
        assert room.row("lab2")["slots"] == 2
        assert room.lab("erase", stdin=b"no\n").returncode == 2
        _await_both(room)
        # As in PPSS the list says which machines: one leaves, the cluster stays.
        Path(room.lab.directory / "one.toml").write_text('hosts = ["lab2"]\n')
        asked = room.lab("erase", "-C", "one.toml", stdin=b"YES\n")
        assert (asked.returncode, asked.stdout) == (0, "left: lab2\n"), asked.stderr
        assert "removes covey from lab2" in asked.stderr
        assert room.lab("start", "lab2").returncode == 0
        checked("down", room.lab("erase", "-C", "lab.toml", "--yes", "--json").stdout)
        assert [machine.files() for machine in room.fleet.machines.values()] == before


@pytest.mark.row(26)
def test_the_line_that_is_run_at_boot_brings_everything_back(tmp_path: Path) -> None:
    with room_of(tmp_path, count=2) as room:
        room.up("lab1", "lab2")
        agents = [room.agent(name) for name in room.fleet.names]
        # As a restart of this computer and of a machine leaves it: nothing of ours runs.
        for pid in (*room.lab.processes(), agents[0]):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not room.lab.processes(), timeout_s=LONG_S)
        cron = {"HOME": str(room.lab.directory), "PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
        done = subprocess.run(
            ["/bin/sh", str(room.lab.state_dir / "command"), "up"],
            env=cron,
            cwd="/",
            capture_output=True,
            text=True,
            timeout=LONG_S,
            check=False,
        )
        assert done.returncode == 0, (done.stdout, done.stderr)
        _await_both(room)
        # The machine that stayed on kept its agent.
        assert room.agent("lab2") == agents[1]
        assert room.agent("lab1") != agents[0]


def _await_both(room: Room) -> None:
    wait_until(
        lambda: room.lab.states() == {"lab1": "ready", "lab2": "ready"},
        describe=room.lab.states,
        timeout_s=LONG_S,
    )


@pytest.mark.row(19)
def test_functions_and_the_modules_they_need_travel_to_machines_with_nothing_but_an_agent(
    tmp_path: Path,
):
    with room_of(tmp_path, count=2) as room:
        room.up("1/lab1", "1/lab2")
        (room.lab.directory / "beside.py").write_text(
            "import os\n\n\ndef where(n):\n    return os.environ['COVEY_MACHINE'], n * n\n"
        )
        (room.lab.directory / "program.py").write_text(
            "import covey, beside\n"
            "factor = 10\n"
            "with covey.Executor() as executor:\n"
            "    print({place for place, _ in executor.map(beside.where, range(40))}"
            " <= {'lab1', 'lab2'})\n"
            "    print(sum(executor.map(lambda n: factor * beside.where(n)[1], range(4))))\n"
        )
        done = subprocess.run(
            [sys.executable, str(room.lab.directory / "program.py")],
            env=room.lab.env,
            capture_output=True,
            text=True,
            timeout=LONG_S,
            check=False,
        )
        assert done.stdout.splitlines() == ["True", "140"], done.stderr
