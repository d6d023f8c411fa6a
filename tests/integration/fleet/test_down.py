"""`covey down`: nothing of ours is left, and what cannot be reached is named."""

import json
from pathlib import Path

import pytest
from tests.integration.fleet.room import LONG_S, room_of

from covey.testing.waiting import wait_until

pytestmark = pytest.mark.timeout(300)


def test_after_a_purge_a_machine_is_as_it_was(archives: Path, tmp_path: Path) -> None:
    # A cache of its own: it is purged too.
    with room_of(tmp_path, count=2) as room:
        (room.machine("lab1").home / "mine.txt").write_text("keep")
        before = [machine.files() for machine in room.fleet.machines.values()]
        room.up("lab1", "lab2")
        done = room.lab("map", "echo {}", ":::", "a", "b", "c", "d")
        assert done.returncode == 0, done.stderr
        assert [machine.files() for machine in room.fleet.machines.values()] != before
        purged = room.lab("down", "--purge")
        assert (purged.returncode, purged.stderr) == (0, "")
        assert "2 machines purged" in purged.stdout
        assert [machine.files() for machine in room.fleet.machines.values()] == before
        assert room.lab.processes() == []
        assert not (tmp_path / "covey").exists()
        # What ran stays known here.
        assert len(room.lab.view.jobs()) == 1


def test_a_purge_after_a_plain_down_finds_what_is_left_on_machines(tmp_path: Path) -> None:
    with room_of(tmp_path) as room:
        before = room.machine("lab1").files()
        room.up("lab1")
        assert room.lab("down").returncode == 0
        assert room.machine("lab1").files() != before
        assert room.lab("down", "--purge").returncode == 0
        assert room.machine("lab1").files() == before


def test_a_machine_out_of_reach_is_named_and_a_later_down_finds_it(archives: Path) -> None:
    with room_of(archives, count=2) as room:
        room.up("lab1", "lab2")
        room.machine("lab2").kill()
        done = room.lab("down")
        assert done.returncode == 1
        assert "lab2 was not reached" in done.stderr
        assert "covey down lab2" in done.stderr
        assert room.machine("lab1").processes() == []
        assert room.machine("lab2").processes() != []
        room.machine("lab2").start()
        assert room.lab("down", "lab2").returncode == 0
        assert room.machine("lab2").processes() == []


def test_one_machine_leaves_and_the_cluster_stays(archives: Path) -> None:
    with room_of(archives, count=2) as room:
        room.up("lab1", "lab2", "--slots", "1")
        gate = room.lab.directory / "gate"
        wait = f"until test -e {gate}; do sleep 0.1; done; echo {{}}"
        call = room.lab.map(wait, ":::", *map(str, range(4)))
        wait_until(
            lambda: room.row("lab2")["busy"] == 1, describe=lambda: call.err, timeout_s=LONG_S
        )
        assert room.lab("down", "lab2").stdout == "left: lab2\n"
        assert room.machine("lab2").processes() == []
        assert sorted(room.lab.states()) == ["lab1"]
        gate.touch()
        # What ran there runs on the other.
        assert call.wait() == 0, call.err
        assert sorted(call.out.split()) == [b"0", b"1", b"2", b"3"]
        assert not list((room.lab.state_dir / "keys").rglob("lab2"))


def test_down_says_in_json_what_was_not_reached(archives: Path) -> None:
    with room_of(archives) as room:
        room.up("lab1")
        room.machine("lab1").kill()
        done = room.lab("down", "--json")
        answer = json.loads(done.stdout)
        assert (done.returncode, answer["was_up"]) == (1, True)
        assert [one["name"] for one in answer["not_reached"]] == ["lab1"]
        room.machine("lab1").start()


def test_a_drained_machine_finishes_and_takes_no_more(archives: Path) -> None:
    with room_of(archives, count=2) as room:
        room.up("lab1", "lab2", "--slots", "1")
        done = room.lab("drain", "lab2", "--wait", "--json")
        assert json.loads(done.stdout)["busy"] == {"lab2": 0}
        assert room.lab.states() == {"lab1": "ready", "lab2": "draining"}
        here = "basename $(dirname $HOME)"
        ran = room.lab("map", f"{here}; : {{}}", ":::", *map(str, range(6)))
        assert set(ran.stdout.split()) == {"lab1"}
        # Also after `up`, which repairs.
        room.up()
        assert room.lab.states()["lab2"] == "draining"
        assert room.lab("drain", "--undo", "lab2").returncode == 0
        room.await_state("lab2", "ready")
        unknown = room.lab("drain", "lab9")
        assert unknown.returncode == 2
        assert "no machine lab9" in unknown.stderr
