"""Rows of distsys: who is there, a directory everywhere, a script everywhere and what it wrote."""

import json

import pytest
from tests.conformance.conftest import CommandLine
from tests.integration.fleet.reach import lab_of


@pytest.mark.row(2)
def test_plain_status_has_the_lines_of_distsys(covey: CommandLine):
    assert covey("up", "--local", "2").code == 0
    assert covey("chaos", "kill", "local2").code == 0
    status = covey("status", "--plain")
    first, *lines = status.out.splitlines()
    assert first == "Determining online status of clients..."
    assert sorted(lines) == ["Client: local1\tON", "Client: local2\tOFF"]
    assert status.code == 1


@pytest.mark.row(3)
def test_mkdir_makes_a_directory_everywhere_and_says_so_for_each_machine(covey: CommandLine):
    assert covey("up", "--local", "2").code == 0
    made = covey("mkdir", "data")
    assert sorted(made.out.splitlines()) == ["created data @local1", "created data @local2"]
    below = covey("mkdir", "data", "a name")
    assert sorted(below.out.splitlines()) == [
        "created data/a name @local1",
        "created data/a name @local2",
    ]
    again = covey("mkdir", "data", "a name")
    assert again.code == 0
    assert "exists data/a name @local1" in again.out.splitlines()
    missing = covey("mkdir", "nowhere", "x")
    assert (missing.code, missing.out) == (1, "")
    assert missing.err.count("No such file or directory") == 2


@pytest.mark.row(5)
def test_a_script_runs_everywhere_and_what_it_wrote_comes_back(covey: CommandLine):
    assert covey("up", "--local", "2").code == 0
    script = covey.directory / "summer.py"
    script.write_text(
        "import os, sys\n"
        "machine = os.environ['COVEY_MACHINE']\n"
        "with open(f\"{os.environ['COVEY_OUTPUT']}/output_{machine}.txt\", 'w') as file:\n"
        "    file.write('1')\n"
        "print('summed')\n"
        "sys.exit(machine == 'local2')\n"
    )
    ran = covey("run", "summer.py", "sum_test")
    assert ran.code == 1
    assert "1 ok · 1 failed (local2)" in ran.err
    output = covey.directory / "output" / "sum_test"
    for machine in ("local1", "local2"):
        assert (output / machine / f"output_{machine}.txt").read_text() == "1"
        assert (output / machine / "stdout").read_text() == "summed\n"
    # A changed script is the one that runs: distsys kept the first for ever.
    script.write_text("print('changed')\n")
    again = covey("run", "--json", "--last-failed")
    rows = json.loads(again.out)["machines"]
    assert [(row["name"], row["exit"], row["stdout"]) for row in rows] == [
        ("local2", 0, "changed\n")
    ]


@pytest.mark.row(2)
@pytest.mark.timeout(180)
def test_machines_over_ssh_are_on_or_off_with_an_agent_or_without(covey: CommandLine):
    with lab_of(count=2) as far:
        covey.env.update(far.env | {"COVEY_HOSTS": "lab1 lab2"})
        far["lab2"].kill()
        wanted = ["Client: lab1\tON", "Client: lab2\tOFF"]
        assert sorted(covey("status", "--plain").out.splitlines()[1:]) == wanted
        # A path of a control socket must be short.
        runtime = far.directory / "rt"
        runtime.mkdir(mode=0o700)
        covey.env["XDG_RUNTIME_DIR"] = str(runtime)
        assert covey("up", "lab1").code == 0
        # The whole list is asked, whoever of it has an agent.
        assert sorted(covey("status", "--plain").out.splitlines()[1:]) == wanted
        assert covey("down").code == 0
