"""Machines whose clocks are wrong: a Raspberry Pi starts in 1970 until it has met a time server."""

import json
import time
from pathlib import Path

import pytest
from tests.integration.fleet.reach import needing
from tests.integration.fleet.room import room_of

from covey.testing.clocks import wrong_clocks

pytestmark = pytest.mark.timeout(300)

_DAY_S = 86_400


def test_a_whole_agent_lives_in_1970_beside_one_of_tomorrow(archives: Path) -> None:
    days = int(time.time() // _DAY_S) - 1
    with needing(), room_of(archives, count=2) as room:
        with wrong_clocks(room.fleet, {"lab1": f"-{days}d", "lab2": "+1d"}):
            # Its bus comes with TLS, by a certificate that is not valid yet for fifty years.
            room.machine("lab1").restart(AllowStreamLocalForwarding="no")
            room.up("lab1", "lab2")
            there = room.lab("run", "--", "date", "+%s")
            assert there.returncode == 0, there.stderr
            seconds = sorted(int(word) for word in there.stdout.split() if word.isdigit())
            assert seconds[0] < 3 * _DAY_S
            assert seconds[1] > time.time() + _DAY_S / 2
            # Nothing ends before both machines have begun something.
            here = room.lab.directory / "$COVEY_MACHINE"
            both = " -a ".join(f"-e {room.lab.directory}/{name}" for name in ("lab1", "lab2"))
            command = f"touch {here}; until test {both}; do sleep 0.05; done; echo {{}}"
            mapped = room.lab("map", command, ":::", *map(str, range(20)))
            assert mapped.returncode == 0, mapped.stderr
            assert sorted(map(int, mapped.stdout.split())) == list(range(20))
            tasks = json.loads(room.lab("joblog", "2", "--json").stdout)["tasks"]
            assert {task["machine"] for task in tasks} == {"lab1", "lab2"}
            assert all(0 <= task["elapsed_s"] < 100 for task in tasks)
            # Again: nothing is taken for too old, and nobody for silent.
            assert {one["state"] for one in room.up("lab1", "lab2").values()} == {"running"}
            looked = json.loads(room.lab("doctor", "lab1", "lab2", "--json").stdout)
            said = {
                one["name"]: next(f["text"] for f in one["findings"] if f["check"] == "clock")
                for one in looked["machines"]
            }
            assert "behind" in said["lab1"]
            assert "ahead" in said["lab2"]
            down = room.lab("down", "--purge")
            assert down.returncode == 0, down.stderr
        assert [machine.files() for machine in room.fleet.machines.values()] == [[], []]
