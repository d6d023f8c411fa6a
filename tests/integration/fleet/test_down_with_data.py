"""`covey down --purge --data`: what tasks wrote goes when it is asked for, and nothing else."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from tests.integration.fleet.on_terminal import OnTerminal
from tests.integration.fleet.room import Room, room_of

from covey.testing.machine import Machine

pytestmark = pytest.mark.timeout(300)

#: Writes a file, a directory and a link to what is not ours.
_SCRIPT = """#!/bin/sh
mkdir "$COVEY_OUTPUT/deep"
echo found > "$COVEY_OUTPUT/deep/found.txt"
ln -s "$HOME/mine" "$COVEY_OUTPUT/link"
"""


def put_own_files(machine: Machine) -> None:
    """What was there before covey: with a project's directory of the user's own."""
    for name in ("mine/keep.txt", "output/own/keep.txt"):
        path = machine.home / name
        path.parent.mkdir(parents=True)
        path.write_text("keep")


def let_tasks_write(room: Room) -> None:
    """In projects of ours and of the user, and in directories of tasks."""
    (room.lab.directory / "count.sh").write_text(_SCRIPT)
    for project in ("tweets", "own"):
        done = room.lab("run", "--project", project, "count.sh")
        assert done.returncode == 0, (done.stdout, done.stderr)
    done = room.lab("map", "echo {} > left.txt", ":::", *map(str, range(6)))
    assert done.returncode == 0, done.stderr


def written(machine: Machine) -> list[str]:
    """What covey's tasks left in directories of ours."""
    tops = ("home/output/tweets", "home/covey")
    return [path for path in machine.files() if path.startswith(tops)]


def test_with_data_all_goes_that_covey_made_and_nothing_else(tmp_path: Path) -> None:
    with room_of(tmp_path, count=2) as room:
        lab1, lab2 = room.fleet.machines.values()
        put_own_files(lab1)
        before = [lab1.files(), lab2.files()]
        room.up("lab1", "lab2")
        let_tasks_write(room)
        assert "home/output/tweets/deep/found.txt" in written(lab1)
        assert any(path.endswith("left.txt") for path in written(lab2))
        # Beside, and in the place of one of ours.
        (lab2.home / "covey/mine.txt").write_text("keep")
        (lab2.home / "output/tweets").rename(lab2.home / "moved")
        (lab2.home / "output/tweets").symlink_to(lab2.home / "moved")
        done = room.lab("down", "--purge", "--data", "--yes", "--json")
        assert done.returncode == 0, done.stderr
        removed = json.loads(done.stdout)["data_removed"]
        assert str(lab1.home / "output/tweets") in removed["lab1"]
        # What its tasks wrote into the user's own project is the user's.
        own = {"home/output/own/deep", "home/output/own/deep/found.txt", "home/output/own/link"}
        assert set(lab1.files()) == {*before[0], *own}
        assert (lab1.home / "mine/keep.txt").read_text() == "keep"
        assert (lab2.home / "moved/deep/found.txt").exists()
        assert (lab2.home / "output/tweets").is_symlink()
        assert [path for path in lab2.files() if path.startswith("home/covey")] == [
            "home/covey",
            "home/covey/mine.txt",
        ]
        assert not [path for path in lab2.files() if ".cache" in path]


def test_without_data_a_purge_leaves_what_tasks_wrote(archives: Path) -> None:
    with room_of(archives) as room:
        room.up("lab1")
        let_tasks_write(room)
        before = written(room.machine("lab1"))
        assert len(before) > 6
        assert room.lab("down", "--purge").returncode == 0
        assert written(room.machine("lab1")) == before
        assert not (room.machine("lab1").home / ".cache").exists()


def test_a_plain_down_before_loses_no_note(archives: Path) -> None:
    with room_of(archives) as room:
        before = room.machine("lab1").files()
        room.up("lab1")
        let_tasks_write(room)
        assert room.lab("down").returncode == 0
        done = room.lab("down", "--purge", "--data", "--yes")
        assert (done.returncode, done.stderr) == (0, "")
        assert "files of tasks removed" in done.stdout
        assert room.machine("lab1").files() == before


def test_on_a_terminal_it_is_listed_and_only_a_yes_removes_it(archives: Path) -> None:
    with room_of(archives) as room:
        lab1 = room.machine("lab1")
        before = lab1.files()
        room.up("lab1")
        let_tasks_write(room)
        with closing(OnTerminal(room.lab, "down", "--purge", "--data")) as down:
            down.await_text("Type YES")
            assert f"{lab1.home}/output/tweets  " in down.shown
            assert f"{lab1.home}/covey/job3  6 tasks, 6 files" in down.shown
            down.type("NO\n")
            assert down.end() == 2
            assert "nothing was removed" in down.shown
        # Nothing at all has happened.
        assert len(written(lab1)) > 6
        assert room.lab.states() == {"lab1": "ready"}
        ran = room.lab("run", "--", "true")
        assert ran.returncode == 0, ran.stderr
        with closing(OnTerminal(room.lab, "down", "--purge", "--data")) as down:
            down.await_text("Type YES")
            down.type("YES\n")
            assert down.end() == 0
        assert lab1.files() == before


def test_nobody_is_asked_without_a_terminal_and_nothing_is_removed(archives: Path) -> None:
    with room_of(archives) as room:
        room.up("lab1")
        let_tasks_write(room)
        for words in (("down", "--purge", "--data"), ("erase", "--data"), ("down", "--data")):
            done = room.lab(*words, stdin=b"YES\n")
            assert done.returncode == 2
            assert "--data" in done.stderr
        assert len(written(room.machine("lab1"))) > 6
        assert room.lab.states() == {"lab1": "ready"}


def test_one_machine_leaves_with_its_data_and_others_keep_theirs(archives: Path) -> None:
    with room_of(archives, count=2) as room:
        room.up("lab1", "lab2")
        let_tasks_write(room)
        kept = written(room.machine("lab2"))
        done = room.lab("down", "lab1", "--purge", "--data", "--yes")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("left: lab1 (")
        assert written(room.machine("lab1")) == []
        assert written(room.machine("lab2")) == kept
