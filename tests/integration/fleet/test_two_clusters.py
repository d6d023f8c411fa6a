"""Two clusters of one account: two agents on one machine, and both have a job 1."""

import os
from pathlib import Path

import pytest
from tests.integration.fleet.room import LONG_S, room_of

from covey.testing.waiting import wait_until

pytestmark = pytest.mark.timeout(300)


def test_tasks_of_two_clusters_never_share_a_directory(archives: Path) -> None:
    with room_of(archives) as room:
        home = room.machine("lab1").home
        room.up("lab1")
        other = room.lab("up", "lab1", "--cluster", "other")
        try:
            assert other.returncode == 0, other.stderr
            # The first stays in its directory until the second has been in its own.
            os.mkfifo(home / "go")
            first = room.lab.start("map", "echo {} > mine; cat ~/go; cat mine; pwd", ":::", "one")
            wait_until(
                lambda: (home / "covey/job1/1.1/mine").exists(),
                describe=lambda: (first.err, room.machine("lab1").files()),
                timeout_s=LONG_S,
            )
            second = room.lab(
                *("map", "--cluster", "other", "echo {} > mine; cat mine; pwd", ":::", "two")
            )
            assert second.returncode == 0, second.stderr
            assert second.stdout.split() == ["two", f"{home}/covey/job1/1.1-2"]
            (home / "go").write_text("")
            assert first.wait() == 0, first.err
            assert first.out.decode().split() == ["one", f"{home}/covey/job1/1.1"]
        finally:
            down = room.lab("down", "--cluster", "other")
        assert down.returncode == 0, down.stderr
