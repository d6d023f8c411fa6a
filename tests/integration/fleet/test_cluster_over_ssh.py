"""covey.Cluster from a program, with machines over real ssh."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.integration.fleet.room import Room, room_of

import covey
from covey.cluster import MachineUp, MadeDirectory, RunResult
from covey.errors import CommandFailed, ConnectFailed, FleetError, MachineError, NotUp

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def room(archives: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Room]:
    """Two machines, and this very process works in the home of the room."""
    with room_of(archives, count=2) as room:
        for name in [name for name in os.environ if name.startswith(("COVEY_", "XDG_"))]:
            monkeypatch.delenv(name)
        for name, value in room.lab.env.items():
            monkeypatch.setenv(name, value)
        yield room


def test_a_program_brings_machines_up_uses_them_and_takes_them_down(room: Room, tmp_path: Path):

    def where(_: int) -> str:
        return os.environ["COVEY_MACHINE"]

    with covey.Cluster() as cluster:
        up = cluster.up(["lab1", "2/lab2"])
        assert {name: one.state for name, one in up.items()} == dict.fromkeys(up, "started")
        assert {name: one.slots for name, one in cluster.status().items()}["lab2"] == 2
        ran = cluster.run("echo $COVEY_MACHINE; pwd")
        homes = {name: room.machine(name).home for name in up}
        assert {name: one.text for name, one in ran.items()} == {
            name: f"{name}\n{home}\n" for name, home in homes.items()
        }
        script = tmp_path / "writes.py"
        script.write_text(
            "import os\nopen(os.environ['COVEY_OUTPUT'] + '/f', 'w')"
            ".write(os.environ['COVEY_MACHINE'])\n"
        )
        files = {name: dict(one.files) for name, one in cluster.run(script=script).items()}
        assert files == {name: {"f": name.encode()} for name in up}
        assert cluster.map(pow, range(20), [2] * 20) == [n * n for n in range(20)]
        sent = cluster.exec("lab2", ["cat"], stdin=b"\0\xff\n")
        assert (sent.exit, sent.stdout) == (0, b"\0\xff\n")
        with pytest.raises(CommandFailed, match="lab1: exit 3: oops"):
            cluster.exec("lab1", "echo oops >&2; exit 3")
        assert cluster.mkdir("a shelf")["lab1"] == (MadeDirectory("a shelf", "created"),)
        assert all((home / "a shelf").is_dir() for home in homes.values())
        cluster.drain("lab1")
        assert cluster.status()["lab1"].state == "draining"
        assert set(cluster.map(where, range(6))) == {"lab2"}
        cluster.drain("lab1", undo=True)
        assert cluster.down("lab2") == {"lab2": True}
        assert list(cluster.status()) == ["lab1"]
    with pytest.raises(NotUp):
        cluster.status()


def test_the_good_results_are_kept_when_a_machine_does_not_come_up_or_dies(room: Room):
    room.machine("lab2").kill()
    with covey.Cluster() as cluster:
        with pytest.raises(FleetError, match="1 of 2 machines did not come up") as caught:
            cluster.up(["lab1", "lab2"])
        results = caught.value.data["results"]
        assert isinstance(results["lab1"], MachineUp)
        assert isinstance(results["lab2"], ConnectFailed)
        assert results["lab2"].data["kind"] == "refused"
        room.machine("lab2").start()
        assert {one.state for one in cluster.up(["lab1", "lab2"]).values()} == {
            "running",
            "started",
        }
        room.machine("lab2").kill()
        os.kill(room.agent("lab2"), 9)
        room.await_state("lab2", "unreachable")
        with pytest.raises(FleetError, match=r"1 of 2 machines .*lab2") as caught:
            cluster.run("echo here")
        results = caught.value.data["results"]
        assert isinstance(results["lab1"], RunResult)
        assert results["lab1"].text == "here\n"
        assert isinstance(results["lab2"], MachineError)
        room.machine("lab2").start()
