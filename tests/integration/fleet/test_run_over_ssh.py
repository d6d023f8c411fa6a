"""`run`, `exec`, `mkdir`, `status --plain` and `map -S` on machines over real ssh."""

import json
import signal
import subprocess
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.integration.fleet.reach import lab_of

from covey.testing.cluster import Lab
from covey.testing.sshd import Fleet
from covey.testing.waiting import wait_until

#: Each test brings machines up and takes them down.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def far() -> Generator[Fleet]:
    """Two machines; no agent on them yet."""
    with lab_of(count=2) as far:
        yield far


@pytest.fixture
def covey(far: Fleet, tmp_path: Path) -> Generator[Lab]:
    """The command line, with the ssh configuration of the machines; down at the end."""
    # Paths of control sockets must be short.
    runtime = far.directory / "rt"
    runtime.mkdir(mode=0o700)
    with Lab(tmp_path, far.env | {"XDG_RUNTIME_DIR": str(runtime)}) as lab:
        yield lab
        lab("down")


def _agents(far: Fleet) -> list[int]:
    return [pid for machine in far.machines.values() for pid in machine.processes()]


def _nothing_stays(covey: Lab, far: Fleet) -> None:
    wait_until(lambda: not _agents(far), describe=lambda: {"there": _agents(far)})
    assert not (covey.state_dir / "cluster.json").exists()


def test_machines_come_up_for_a_run_and_go_down_after_it(covey: Lab, far: Fleet):
    done = covey("run", "-S", "lab1,lab2", "--", "echo $COVEY_MACHINE; pwd")
    assert done.returncode == 0, done.stderr
    for name in ("lab1", "lab2"):
        assert f"── {name}\n{name}\n{far[name].home}\n" in done.stdout
    assert done.stderr.endswith("2 ok\n")
    _nothing_stays(covey, far)


def test_a_machine_that_does_not_come_up_is_a_result(covey: Lab, far: Fleet):
    far["lab2"].kill()
    done = covey("run", "--json", "-S", "lab1", "-S", "lab2", "--", "echo hi")
    rows = {row["name"]: row for row in json.loads(done.stdout)["machines"]}
    assert done.returncode == 1
    assert (rows["lab1"]["state"], rows["lab1"]["stdout"]) == ("ok", "hi\n")
    assert rows["lab2"]["state"] == "unreachable"
    assert "refused" in rows["lab2"]["reason"]
    _nothing_stays(covey, far)


def test_map_runs_on_the_machines_that_are_named(covey: Lab, far: Fleet):
    (covey.directory / "hosts").write_text("# ours\nlab1\n\n2/lab2\n")
    done = covey("map", "-H", "hosts", "-k", "echo $COVEY_MACHINE {}", ":::", *"abcdef")
    assert done.returncode == 0, done.stderr
    words = [line.split() for line in done.stdout.splitlines()]
    assert [item for _, item in words] == list("abcdef")
    assert {machine for machine, _ in words} <= {"lab1", "lab2"}
    _nothing_stays(covey, far)


@pytest.mark.parametrize("words", [("run", "-S", "lab1", "--"), ("map", "-S", "lab1")])
def test_unknown_host_keys_are_taken_where_that_is_said(
    covey: Lab, far: Fleet, words: tuple[str, ...]
):
    far["lab1"].forget_host_key()
    name, *rest = words
    items = [":::", "1"] if name == "map" else []
    refused = covey(*words, "echo hi", *items)
    assert "host key is not known here" in refused.stdout + refused.stderr
    done = covey(name, "--accept-new-host-keys", *rest, "echo hi", *items)
    assert (done.returncode, "hi" in done.stdout.split()) == (0, True), done.stderr


def test_what_was_up_before_stays_up(covey: Lab, far: Fleet):
    up = covey("up", "lab1")
    assert up.returncode == 0, up.stderr
    done = covey("run", "-S", "lab1,lab2", "--", "echo hi")
    assert (done.returncode, done.stdout) == (0, "── lab1, lab2 (2)\nhi\n")
    machines = covey.json("status")["machines"]
    assert [(one["name"], one["state"]) for one in machines] == [("lab1", "ready")]
    assert covey("run", "--", "echo still here").returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", [("run", "-S", "lab1", "--"), ("map", "-S", "lab1")])
def test_an_interrupted_call_takes_down_what_it_brought_up(
    covey: Lab, far: Fleet, words: tuple[str, ...], number: signal.Signals
):
    begun = covey.directory / "begun"
    line = f"touch {begun}; sleep 600"
    items = [":::", "1"] if words[0] == "map" else []
    call = covey.start(*words, line if not items else f"true {{}}; {line}", *items)
    wait_until(begun.exists, describe=lambda: {"err": call.err}, timeout_s=60)
    call.process.send_signal(number)
    assert call.wait() in (130, 143)
    _nothing_stays(covey, far)


def test_exec_passes_input_output_and_exit_code(covey: Lab, far: Fleet):
    assert covey("up", "lab1").returncode == 0
    data = bytes(range(256)) * 1000
    done = subprocess.run(
        covey.command("exec", "lab1", "--", "cat; echo oops >&2; exit 7"),
        input=data,
        capture_output=True,
        env=covey.env,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, data, b"oops\n")
    assert covey("exec", "lab1", "--", "pwd").stdout == f"{far['lab1'].home}\n"
    word = "$HOME; 'a'  *\n\"b\""
    assert covey("exec", "lab1", "--", "printf", "%s|", word, "").stdout == f"{word}||"
    codes = {
        ("exec", "lab1", "--", "no-such-program"): 127,
        ("exec", "lab1", "--", "/etc/passwd"): 126,
        ("exec", "lab1", "--", "kill -9 $$"): 137,
        ("exec", "--timeout", "0.3s", "lab1", "--", "sleep", "600"): 124,
        ("exec", "lab9", "--", "true"): 125,
        ("exec",): 125,
    }
    assert {words: covey(*words).returncode for words in codes} == codes
    far["lab1"].kill()
    gone = covey("exec", "lab1", "--", "true")
    assert gone.returncode == 125
    assert "lab1" in gone.stderr


def test_scripts_and_directories_reach_machines_over_ssh(covey: Lab, far: Fleet):
    assert covey("up", "lab1", "lab2").returncode == 0
    (covey.directory / "where.py").write_text(
        "import os\nwho = open(os.environ['COVEY_OUTPUT'] + '/who', 'w')\n"
        "who.write(os.environ['COVEY_MACHINE'])\n"
    )
    assert covey("run", "where.py").returncode == 0
    for name in far.names:
        assert (covey.directory / "output" / "where" / name / "who").read_text() == name
        kept = far[name].home / ".cache" / "covey" / "default" / name / "bin" / "where" / "where.py"
        assert kept.read_bytes() == (covey.directory / "where.py").read_bytes()
    made = covey("mkdir", "data", "tweets")
    assert made.returncode == 1
    assert covey("mkdir", "-p", "data", "tweets").returncode == 0
    assert all((far[name].home / "data" / "tweets").is_dir() for name in far.names)


def test_plain_status_asks_agents_and_else_their_sshd(covey: Lab, far: Fleet):
    covey.env["COVEY_HOSTS"] = "lab1 lab2"
    first = covey("status", "--plain")
    assert first.returncode == 0
    lines = first.stdout.splitlines()
    assert lines[0] == "Determining online status of clients..."
    assert sorted(lines[1:]) == ["Client: lab1\tON", "Client: lab2\tON"]
    far["lab2"].kill()
    assert sorted(covey("status", "--plain").stdout.splitlines()[1:]) == [
        "Client: lab1\tON",
        "Client: lab2\tOFF",
    ]
    assert covey("status", "--plain").returncode == 1
    assert covey("up", "lab1").returncode == 0
    # One of the list that is not in the cluster is looked at all the same, as in the table.
    assert covey("status", "--plain").stdout.splitlines()[1:] == [
        "Client: lab1\tON",
        "Client: lab2\tOFF",
    ]


def test_a_silent_sshd_is_off(covey: Lab, far: Fleet):
    covey.env["COVEY_HOSTS"] = "lab1 lab2"
    with far["lab1"].frozen():
        done = covey("status", "--plain")
    # Who answers is told first.
    assert done.stdout.splitlines()[1:] == ["Client: lab2\tON", "Client: lab1\tOFF"]
