"""What is wrong with the place or the command line: one line that says so, and nothing lost."""

import json
import os
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration.faults.laws import (
    all_succeeded,
    every_item_is_recorded_once,
    held_back,
    let_go,
    numbers,
)

from covey.bus.binary import find_server
from covey.settings import read_settings
from covey.testing.cluster import Lab
from covey.testing.ending import ended
from covey.testing.waiting import COMMAND_MAX_S, wait_until

#: Far over what any takes, also on a starved machine.
pytestmark = pytest.mark.timeout(300)

#: Nobody listens there.
DEAD_BUS = "nats://127.0.0.1:1"
IS_ROOT = os.geteuid() == 0


@pytest.mark.parametrize(
    ("url", "why"), [(DEAD_BUS, "connection refused"), ("nats://no-such.invalid:4222", "")]
)
def test_a_bus_that_does_not_answer_is_named(lab: Lab, url: str, why: str) -> None:
    lab.env["COVEY_NATS_URL"] = url
    said = f"covey: {url} does not answer ({why}"
    for words, code in ((("map", "echo", ":::", "1"), 255), (("up", "--local", "1"), 1)):
        done = lab(*words)
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.startswith(said)
        assert _is_one_line(done.stderr)


def test_a_bus_that_runs_already_is_used(lab: Lab) -> None:
    with _their_bus(lab.directory) as url:
        lab.env["COVEY_NATS_URL"] = url
        assert lab("map", "echo {}", ":::", "1").returncode == 0
        with lab.cluster() as cluster:
            assert cluster.server is None
            # Whoever comes later need not know of it.
            del lab.env["COVEY_NATS_URL"]
            run = lab.map("echo {}", stdin=numbers(100))
            assert run.wait() == 0, run.err
            all_succeeded(every_item_is_recorded_once(lab, 100, job=2))
            assert "a bus of yours" in lab("chaos", "cut", "local1").stderr


def test_two_clusters_of_one_name_share_a_bus_without_meeting(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with _their_bus(lab.directory) as url, Lab(tmp_path / "other") as other:
        for one in (lab, other):
            one.env["COVEY_NATS_URL"] = url
        with lab.cluster(), other.cluster():
            runs = [one.map("echo {}", stdin=numbers(100)) for one in (lab, other)]
            assert [run.wait() for run in runs] == [0, 0]
            for one in (lab, other):
                all_succeeded(every_item_is_recorded_once(one, 100))
                assert one.json("status")["forged"] == 0


def test_a_second_up_is_refused_and_the_first_goes_on(lab: Lab) -> None:
    with lab.cluster():
        second = lab("up", "--local", "2")
        assert (second.returncode, second.stdout) == (1, "")
        assert second.stderr == "covey: cluster default is up already: see it with: covey status\n"
        _await_ready(lab, 2)


def test_of_two_ups_at_once_one_makes_the_cluster_and_the_other_finds_it(lab: Lab) -> None:
    calls = [lab.start("up", "--local", "2", "--slots", "1") for _ in range(2)]
    try:
        codes = sorted(call.wait() for call in calls)
        assert codes == [0, 1], [call.err for call in calls]
        _await_ready(lab, 2)
    finally:
        assert lab("down").returncode == 0


def test_a_damaged_ledger_is_kept_aside_and_said_so(lab: Lab) -> None:
    assert lab("map", "echo {}", ":::", "1").returncode == 0
    ledger = lab.state_dir / "ledger.db"
    ledger.write_bytes(b"not a ledger, " * 1000)
    done = lab("map", "echo {}", ":::", "2", "3")
    assert done.returncode == 0
    assert "damaged" in done.stderr
    assert "covey: covey:" not in done.stderr
    kept = [path for path in lab.state_dir.iterdir() if "corrupt" in path.name]
    assert len(kept) == 1
    assert kept[0].name in done.stderr
    assert kept[0].read_bytes() == b"not a ledger, " * 1000
    # Numbers go on behind what was known, and what was run since is recorded.
    rows = lab.json("jobs")["jobs"]
    assert [(row["job"], row["done"]) for row in rows] == [(2, 2)]


def test_up_says_that_it_kept_a_damaged_ledger_aside(lab: Lab) -> None:
    lab.state_dir.mkdir(parents=True)
    (lab.state_dir / "ledger.db").write_bytes(b"not a ledger, " * 1000)
    up = lab("up", "--local", "1", "--slots", "1")
    try:
        assert up.returncode == 0, up.stderr
        kept = [path.name for path in lab.state_dir.iterdir() if "corrupt" in path.name]
        assert len(kept) == 1
        assert "damaged" in up.stderr
        assert kept[0] in up.stderr
    finally:
        assert lab("down").returncode == 0


def test_a_damaged_ledger_is_named_by_commands_that_only_look(lab: Lab) -> None:
    lab.state_dir.mkdir(parents=True)
    (lab.state_dir / "ledger.db").write_bytes(b"not a ledger, " * 1000)
    done = lab("jobs")
    assert done.returncode == 1
    assert _is_one_line(done.stderr)
    assert "ledger.db" in done.stderr
    assert "the next covey map or up keeps it aside" in done.stderr


@pytest.mark.skipif(IS_ROOT, reason="root may write anywhere")
def test_a_state_directory_that_is_not_writable_is_named(lab: Lab) -> None:
    lab.home.mkdir(mode=0o500)
    _is_refused_with(lab, str(lab.home))


def test_a_state_directory_that_cannot_be_made_is_named(lab: Lab) -> None:
    lab.home.write_text("a file stands there")
    _is_refused_with(lab, str(lab.home))
    lab.home.unlink()


@pytest.mark.skipif(not IS_ROOT, reason="only root can mount a small disk")
def test_a_full_disk_ends_a_run_with_one_line_and_resume_goes_on_when_there_is_room(
    lab: Lab,
) -> None:
    with _small_disk(lab.home, size_kib=64 * 1024):
        full = lab.home / "full"
        # Most of it has yet to be recorded when the disk is full, and needs more room than the
        # journal has already, which begins anew after a moment of rest.
        long = "printf '%3000s' >&2"
        run = lab.map("-j2", f"{held_back(lab, behind=20)}; {long}", stdin=numbers(1000))
        lab.await_done(1, 20)
        _fill(full)
        let_go(lab)
        assert run.wait() == 255
        assert "is full" in run.err
        assert "Traceback" not in run.err
        refused = lab("map", "echo", ":::", "1")
        assert refused.returncode == 255
        assert "is full" in refused.stderr
        assert _is_one_line(refused.stderr)
        full.unlink()
        held = lab.job(1).held
        again = lab("resume", "1")
        assert again.returncode == 0, again.stderr
        every_item_is_recorded_once(lab, held)


def _await_ready(lab: Lab, count: int) -> None:
    wait_until(lambda: list(lab.states().values()) == ["ready"] * count, describe=lab.states)


def _is_refused_with(lab: Lab, text: str) -> None:
    for words, code in ((("map", "echo", ":::", "1"), 255), (("up", "--local", "1"), 1)):
        done = lab(*words)
        assert (done.returncode, done.stdout) == (code, "")
        assert text in done.stderr
        assert _is_one_line(done.stderr), done.stderr


def _is_one_line(said: str) -> bool:
    return said.startswith("covey: ") and said.count("\n") == 1


@contextmanager
def _their_bus(directory: Path) -> Generator[str]:
    """A nats-server as somebody else runs it: one user, no permissions."""
    binary = find_server(read_settings().nats_server)
    ports = directory / "ports"
    ports.mkdir()
    conf = directory / "their.conf"
    conf.write_text(
        'listen: "127.0.0.1:-1"\nauthorization { user: them, password: "p%d" }\n'
        f'ports_file_dir: "{ports}"\n'
    )
    with _started([str(binary), "-c", str(conf)]):
        wait_until(lambda: _port_in(ports))
        yield f"nats://them:p%25d@127.0.0.1:{_port_in(ports)}"


def _port_in(ports: Path) -> str:
    """What the server wrote there; "" before it has written all of it."""
    for path in ports.glob("*.ports"):
        try:
            return json.loads(path.read_text())["nats"][0].rpartition(":")[2]
        except ValueError:
            break
    return ""


@contextmanager
def _started(words: list[str]) -> Generator[None]:
    with ended(subprocess.Popen(words, stderr=subprocess.DEVNULL)):
        yield


@contextmanager
def _small_disk(directory: Path, *, size_kib: int) -> Generator[None]:
    directory.mkdir()
    options = f"size={size_kib}k,mode=700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(directory)]
    if subprocess.run(mount, capture_output=True, check=False, timeout=COMMAND_MAX_S).returncode:
        pytest.skip("this container may not mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True, timeout=COMMAND_MAX_S)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"\0" * 65536)
        except OSError:
            return
