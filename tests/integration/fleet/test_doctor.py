"""`covey doctor` on machines that are well, and on machines that are not."""

import json
import os
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from tests.fleets import a_fleet

from covey.testing.cluster import Lab
from covey.testing.sshd import Fleet
from covey.testing.waiting import COMMAND_MAX_S, wait_until

SCHEMA = Path(__file__).parents[3] / "docs" / "reference" / "schemas" / "doctor.json"

#: Several sshds start for each test: some seconds on a starved machine.
pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def lab() -> Generator[Fleet]:
    with a_fleet(2) as machines:
        yield machines


@pytest.fixture
def covey(tmp_path: Path, lab: Fleet) -> Generator[Lab]:
    with Lab(tmp_path, {**lab.env, "SSH_AUTH_SOCK": "", "HOME": str(tmp_path)}) as here:
        yield here


def looked(covey: Lab, *words: str, code: int = 0) -> dict[str, Any]:
    """What the doctor found: machine -> check -> finding."""
    done = covey("doctor", *words, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    value = json.loads(done.stdout)
    Draft202012Validator(json.loads(SCHEMA.read_text())).validate(value)  # pyright: ignore[reportUnknownMemberType]
    assert value["ok"] is (code == 0)
    found = {one["name"]: one["findings"] for one in value["machines"]}
    found["here"] = value["this_machine"]
    return {name: {one["check"]: one for one in all_} for name, all_ in found.items()}


def test_machines_that_are_well_are_found_well_and_left_as_they_were(covey: Lab, lab: Fleet):
    before = [lab[name].files() for name in lab.names]
    found = looked(covey, "lab1", "lab2")
    for name in lab.names:
        states = {check: one["state"] for check, one in found[name].items()}
        assert set(states.values()) <= {"ok", "note"}, states
        assert {"ssh", "python", "home", "disk", "clock", "forwarding", "startups"} <= set(states)
    assert [lab[name].files() for name in lab.names] == before
    assert [lab[name].processes() for name in lab.names] == [[], []]


def test_a_person_sees_signs_and_remedies(covey: Lab, lab: Fleet):
    lab["lab2"].set_pythons("none")
    done = covey("doctor", "lab1", "lab2")
    assert done.returncode == 1
    one, two = done.stdout.split("lab2\n")
    assert "✔ ssh: logged in" in one
    assert "✗ python: there is no python3\n      → install python3.11" in two


def test_whoever_cannot_be_reached_has_one_finding(covey: Lab, lab: Fleet):
    lab["lab1"].kill()
    lab["lab2"].change_host_key()
    found = looked(covey, "lab1", "lab2", code=1)
    assert found["lab1"]["ssh"]["state"] == "wrong"
    assert "connection refused" in found["lab1"]["ssh"]["text"]
    assert "host key changed" in found["lab2"]["host-key"]["text"]
    assert "ssh-keygen" in found["lab2"]["host-key"]["remedy"]


def test_an_old_python_is_named(covey: Lab, lab: Fleet):
    old = lab["lab1"].directory / "bin" / "python3"
    shutil.rmtree(old.parent)
    old.parent.mkdir()
    # It is as old as it says: no Python that old need be on this computer.
    old.write_text("#!/bin/sh\necho 3.9.18\n")
    old.chmod(0o755)
    found = looked(covey, "lab1", code=1)
    assert found["lab1"]["python"]["text"] == "too old (3.11 needed): python3 is 3.9.18"


def test_forwarding_is_tried_and_not_only_read(covey: Lab, lab: Fleet):
    lab["lab1"].restart(AllowStreamLocalForwarding="no")
    lab["lab2"].restart(AllowStreamLocalForwarding="no", AllowTcpForwarding="no")
    found = looked(covey, "lab1", "lab2", code=1)
    assert found["lab1"]["forwarding"]["state"] == "note"
    assert found["lab2"]["forwarding"]["state"] == "wrong"
    assert "AllowTcpForwarding yes" in found["lab2"]["forwarding"]["remedy"]


def test_noise_of_start_up_files_is_shown(covey: Lab, lab: Fleet):
    enter = lab.directory / "enter"
    enter.write_text(enter.read_text().replace("#!/bin/sh\n", "#!/bin/sh\necho Welcome home\n", 1))
    found = looked(covey, "lab1")
    assert found["lab1"]["noise"]["state"] == "warning"
    assert "Welcome home" in found["lab1"]["noise"]["text"]


def test_a_clock_that_says_1970_is_said_and_no_fault(covey: Lab, lab: Fleet):
    tools = lab.directory / "tools"
    (tools / "date").unlink()
    (tools / "date").write_text("#!/bin/sh\necho 86400\n")
    (tools / "date").chmod(0o755)
    found = looked(covey, "lab1")
    assert found["lab1"]["clock"]["state"] == "warning"
    assert "days behind" in found["lab1"]["clock"]["text"]


def test_a_full_disk_and_a_read_only_home_are_wrong(covey: Lab, lab: Fleet):
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    full, frozen = lab["lab1"].home, lab["lab2"].home
    _mount("-t", "tmpfs", "-o", "size=64k,nr_inodes=2", "tmpfs", str(full))
    try:
        # It has two inodes: one for its root, one for this.
        (full / "ballast").touch()
        _mount("--bind", str(frozen), str(frozen))
        _mount("-o", "remount,ro,bind", str(frozen))
        try:
            found = looked(covey, "lab1", "lab2", code=1)
        finally:
            subprocess.run(["umount", str(frozen)], check=True, timeout=COMMAND_MAX_S)
    finally:
        subprocess.run(["umount", str(full)], check=True, timeout=COMMAND_MAX_S)
    assert "No space left" in found["lab1"]["home"]["text"]
    assert found["lab1"]["disk"]["state"] == "wrong"
    assert "Read-only" in found["lab2"]["home"]["text"]


def _mount(*words: str) -> None:
    done = subprocess.run(
        ["mount", *words], capture_output=True, text=True, check=False, timeout=COMMAND_MAX_S
    )
    if done.returncode:
        pytest.skip(f"this container may not mount: {done.stderr.strip()}")


def test_machines_with_one_home_know_of_each_other(tmp_path: Path):
    with a_fleet(2, shared_home=True) as lab, Lab(tmp_path, lab.env) as covey:
        found = looked(covey, "lab1", "lab2")
    assert "lab2" in found["lab1"]["shared-home"]["text"]
    assert "lab1" in found["lab2"]["shared-home"]["text"]


def test_without_machines_it_looks_at_this_one(covey: Lab, lab: Fleet):
    found = looked(covey)
    assert {"ssh", "ssh-agent", "bus", "state", "fsync"} <= set(found["here"])
    assert found["here"]["fsync"]["text"].startswith("p50 ")
    assert set(found) == {"here"}


def test_the_machines_of_covey_toml_are_looked_at_without_being_named(covey: Lab, lab: Fleet):
    (covey.directory / "covey.toml").write_text('hosts = ["lab2"]\n')
    assert set(looked(covey)) == {"here", "lab2"}


def test_a_bus_of_ones_own_has_no_subject_permissions(covey: Lab, lab: Fleet):
    covey.env["COVEY_NATS_URL"] = "nats://127.0.0.1:4222"
    bus = looked(covey)["here"]["bus"]
    assert bus["state"] == "warning"
    assert "permissions are off" in bus["text"]


def test_an_ssh_agent_that_is_gone_is_said(covey: Lab, lab: Fleet):
    covey.env["SSH_AUTH_SOCK"] = str(covey.directory / "gone.sock")
    found = looked(covey)["here"]["ssh-agent"]
    assert (found["state"], "ssh-add" in found["remedy"]) == ("warning", True)


def test_what_a_doctor_that_was_killed_left_goes_with_the_next_call(covey: Lab, lab: Fleet):
    # Short: sockets lie in it.
    runtime = lab.directory / "rt"
    runtime.mkdir(mode=0o700)
    covey.env["XDG_RUNTIME_DIR"] = str(runtime)
    with lab["lab1"].frozen():
        call = covey.start("doctor", "lab1", "lab2")
        wait_until(
            lambda: any(path.is_socket() for path in runtime.rglob("s/*")),
            describe=lambda: (call.err, sorted(runtime.rglob("*"))),
        )
        call.kill()
        assert covey.processes()
        assert covey("doctor", "lab2").returncode == 0
        assert covey.processes() == []
    assert list(runtime.rglob("s/*")) == []
