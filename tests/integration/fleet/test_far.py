"""`covey --head`: a head on another machine, through ssh."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.fleet.far import head_on, on, view_there
from tests.integration.fleet.room import LONG_S, Room, room_of

from covey.testing.waiting import wait_until

pytestmark = pytest.mark.timeout(300)

PROGRAM = """
import covey
with covey.Executor(head="lab1") as executor:
    print(sorted(executor.map(lambda x: x * x, range(5))), executor.job)
with covey.Executor.attach(executor.job, head="lab1") as calls:
    print(sum(calls.results()), calls.state)
late = covey.Executor(head="lab1").submit(pow, 2, 5)
late.add_done_callback(lambda future: print("late", future.result()))
"""


def far(room: Room, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
    return room.lab("--head", "lab1", *words, stdin=stdin)


def test_a_head_is_put_onto_a_bare_machine_and_used_from_here(archives: Path) -> None:
    with room_of(archives, count=1) as room:
        done = far(room, "jobs")
        assert done.returncode == 1
        assert "cluster default is not up on lab1: covey up --head lab1" in done.stderr
        up = room.lab("up", "--head", "lab1", "--local", "1", "--slots", "1")
        assert up.returncode == 0, (up.stdout, up.stderr)
        try:
            _use(room)
        finally:
            down = far(room, "down")
        assert down.returncode == 0, down.stderr
        # Nothing of it was ever here.
        assert not (room.lab.state_dir / "ledger.db").exists()
        _ends_where_none_is_up(room)
        _is_read_where_none_is_up(room)
        _purges(room)


def _ends_where_none_is_up(room: Room) -> None:
    is_not = "cluster default is not up on lab1"
    status = far(room, "status")
    assert (status.returncode, status.stdout) == (1, "")
    assert status.stderr == f"covey: {is_not}: covey up --head lab1\n"
    run = far(room, "exec", "local1", "--", "true")
    assert (run.returncode, is_not in run.stderr) == (125, True)
    down = far(room, "down")
    assert (down.returncode, down.stderr) == (0, f"covey: {is_not}\n")


def _is_read_where_none_is_up(room: Room) -> None:
    """What ran there is known as it is here, and nothing is started for it."""
    assert "succeeded" in far(room, "jobs").stdout
    assert "3 succeeded" in far(room, "show", "1").stdout
    assert far(room, "logs", "1").stdout.split() == ["[a]", "[b]", "[c]"]
    assert len(far(room, "joblog", "1").stdout.splitlines()) == 4
    assert "has ended" in far(room, "explain", "1").stdout
    for words in (("map", "echo {}", ":::", "a"), ("run", "--", "true")):
        refused = far(room, *words)
        assert (refused.returncode, refused.stdout) == (255, "")
        assert refused.stderr.endswith("not up on lab1: covey up --head lab1\n")
    assert room.machine("lab1").processes() == []


def _purges(room: Room) -> None:
    """What was sent goes too; the ledger and what tasks wrote stay, as on any machine."""
    machine = room.machine("lab1")
    assert any(".cache/covey" in path for path in machine.files())
    purge = far(room, "down", "--purge")
    assert purge.returncode == 0, purge.stderr
    assert [path for path in machine.files() if ".cache" in path] == []
    gone = far(room, "jobs")
    assert (gone.returncode, "covey up --head lab1" in gone.stderr) == (1, True)


def _use(room: Room) -> None:
    status = far(room, "status")
    assert status.returncode == 0
    assert "local1" in status.stdout
    items = room.lab.directory / "items.txt"
    items.write_text("a\nb\nc\n")
    log = room.lab.directory / "log.tsv"
    done = far(room, "map", "-k", "--joblog", str(log), "echo [{}]", "::::", str(items))
    assert (done.returncode, done.stdout) == (0, "[a]\n[b]\n[c]\n"), done.stderr
    assert len(log.read_text().splitlines()) == 4
    assert "succeeded" in far(room, "jobs").stdout
    assert far(room, "logs", "1").stdout.split() == ["[a]", "[b]", "[c]"]
    ran = far(room, "run", "--", "echo there")
    assert ran.returncode == 0, ran.stderr
    assert "there" in ran.stdout
    sent = far(room, "exec", "local1", "--", "cat", stdin=b"through both")
    assert (sent.returncode, sent.stdout) == (0, "through both"), sent.stderr
    assert far(room, "exec", "local1", "--", "exit 7").returncode == 7
    path = room.lab.directory / "program.py"
    path.write_text(PROGRAM)
    program = subprocess.run(
        [sys.executable, str(path)],
        env=room.lab.env,
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )
    assert program.returncode == 0, program.stderr
    assert program.stdout.splitlines() == ["[0, 1, 4, 9, 16] 3", "30 succeeded", "late 32"]


def test_some_machines_of_a_far_head_are_meant_by_limit(archives: Path) -> None:
    who = "echo I am $COVEY_MACHINE"
    with room_of(archives, count=1) as room, head_on(room, "lab1", machines=2):
        ran = far(room, "run", "--limit", "local2", "--", who)
        assert (ran.returncode, "I am local2" in ran.stdout) == (0, True), ran.stderr
        assert "local1" not in ran.stdout
        mapped = far(room, "map", "--limit", "!local2", who, ":::", "a", "b")
        assert mapped.stdout == "I am local1 a\nI am local1 b\n", mapped.stderr
        drained = far(room, "drain", "--limit", "local1")
        assert drained.stdout == "drained: local1 (nothing runs there)\n", drained.stderr
        rows = json.loads(far(room, "status", "--limit", "local1", "--json").stdout)["machines"]
        assert [(row["name"], row["state"]) for row in rows] == [("local1", "draining")]
        assert "I am local1" in far(room, "exec", "local1", "--", who).stdout
        assert far(room, "map", who, ":::", "a").stdout == "I am local2 a\n"
        assert far(room, "drain", "--undo", "local1").returncode == 0
        assert far(room, "status", "--plain", "--limit", "local2").stdout.splitlines()[1:] == [
            "Client: local2\tON"
        ]
        wrong = far(room, "run", "--limit", "local9", "--", who)
        assert (wrong.returncode, "local9" in wrong.stderr) == (255, True)
        left = far(room, "down", "--limit", "local2")
        assert (left.returncode, left.stdout) == (0, "left: local2\n"), left.stderr
        again = far(room, "run", "--json", "--", "true")
        assert [row["name"] for row in json.loads(again.stdout)["machines"]] == ["local1"]


def test_the_machines_of_covey_toml_here_are_brought_up_from_there(archives: Path) -> None:
    with room_of(archives, count=1) as room:
        (room.lab.directory / "covey.toml").write_text(
            'hosts = ["a1", "b1"]\n'
            "[groups.all]\n"
            'members = ["a1", "b1"]\n'
            'port = 1\n[machines.a1]\naddress = "127.0.0.1"\n[machines.b1]\naddress = "127.0.0.1"\n'
        )
        # Nobody listens there: who was tried is what is told.
        (room.lab.directory / "lab.toml").write_text('hosts = ["127.0.0.1:1"]\n')
        for words, tried in (
            (("up",), {"a1", "b1"}),
            (("up", "--limit", "b*", "--slots", "1"), {"b1"}),
            (("start",), {"a1", "b1"}),
            (("deploy", "-C", "lab.toml"), {"127-0-0-1-1"}),
        ):
            up = far(room, *words, "--json")
            assert up.returncode == 1, (up.stdout, up.stderr)
            machines = json.loads(up.stdout)["machines"]
            assert {row["name"]: row["error_kind"] for row in machines} == dict.fromkeys(
                tried, "refused"
            )


def test_a_map_outlives_the_loss_of_its_connection(archives: Path) -> None:
    with room_of(archives, count=1) as room, head_on(room, "lab1"):
        gate = room.lab.directory / "gate"
        wait = f"while [ ! -e {gate} ]; do sleep 0.05; done; echo {{}}"
        job = room.lab.start("--head", "lab1", "map", "-k", wait, ":::", "a", "b")
        wait_until(lambda: "1 machine" in job.err, describe=lambda: job.err, timeout_s=LONG_S)
        room.machine("lab1").kill()
        room.machine("lab1").start()
        gate.touch()
        assert job.wait() == 0, job.err
        assert job.out == b"a\nb\n"
        rows = view_there(room, "lab1").outcomes(1)
        assert [(row.task, row.attempt) for row in rows] == [(1, 1), (2, 1)]


def test_a_client_that_is_killed_leaves_its_items_to_the_head(archives: Path) -> None:
    with room_of(archives, count=1) as room, head_on(room, "lab1"):
        gate = room.lab.directory / "gate"
        wait = f"while [ ! -e {gate} ]; do sleep 0.05; done; echo {{}}"
        job = room.lab.start("--head", "lab1", "map", wait, ":::", "a", "b")
        wait_until(
            lambda: [row.total for row in view_there(room, "lab1").jobs()] == [2], timeout_s=LONG_S
        )
        job.kill()
        gate.touch()
        wait_until(
            lambda: view_there(room, "lab1").job(1).state == "succeeded",
            describe=lambda: view_there(room, "lab1").job(1),
            timeout_s=LONG_S,
        )
        assert sorted(far(room, "logs", "1").stdout.split()) == ["a", "b"]
        # What the killed call left here goes with the next one.
        assert on(room, "lab1", "jobs").returncode == 0


def test_a_head_that_cannot_be_reached_is_said(archives: Path) -> None:
    with room_of(archives, count=1) as room:
        room.machine("lab1").kill()
        for words in (["jobs"], ["status"], ["up", "--local", "1"]):
            done = far(room, *words)
            assert done.returncode == 1, words
            assert "refused" in done.stderr, words
        room.machine("lab1").start()
