"""`covey run` and `covey mkdir` on virtual machines: real agents, a real head, the command line."""

import json
import os
import shlex
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.integration.cli.schemas import checked

from covey.testing.cluster import Lab
from covey.testing.waiting import wait_until

NAMES = ["local1", "local2", "local3"]
#: Longer than any test: whoever runs it is stopped before. Other tests run others.
LONG = f"sleep 600.{os.getpid()}"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Generator[Lab]:
    """Three virtual machines of one slot each."""
    with Lab(tmp_path_factory.mktemp("lab")) as lab, lab.cluster(machines=3, slots=1):
        yield lab


def work_dir(lab: Lab, name: str) -> Path:
    """The working directory of a virtual machine."""
    return lab.state_dir / "machines" / name / "work"


def test_equal_outputs_are_printed_once(lab: Lab):
    done = lab("run", "--", "echo same; echo too >&2")
    assert done.returncode == 0
    assert done.stdout == "── local1, local2, local3 (3)\nsame\n"
    assert done.stderr == "too\n3 ok\n"


def test_it_runs_on_each_machine_in_its_directory(lab: Lab):
    done = lab("run", "--", "echo $COVEY_MACHINE $PWD")
    lines = done.stdout.splitlines()
    for name in NAMES:
        assert lines[lines.index(f"── {name}") + 1] == f"{name} {work_dir(lab, name)}"


def test_several_words_reach_the_program_byte_for_byte(lab: Lab):
    word = "$HOME; 'a'  *\n\"b\" \\ é"
    done = lab("run", "--limit", "local2", "--", "printf", "%s|", word, "", "-v")
    assert done.stdout == f"── local2\n{word}||-v|\n"


def test_failures_are_counted_named_and_written_down(lab: Lab):
    listed = ("--pass-file", "passed", "--fail-file", "failed")
    done = lab("run", *listed, "--", "echo no >&2; test $COVEY_MACHINE = local1 || exit 3")
    assert done.returncode == 2
    assert "── local2, local3 (2) · exit 3\n" in done.stdout
    again = "covey run --last-failed -- 'echo no >&2; test $COVEY_MACHINE = local1 || exit 3'"
    assert done.stderr.splitlines()[-1] == f"1 ok · 2 failed (local2, local3) · again: {again}"
    assert (lab.directory / "passed").read_text() == "local1\n"
    assert (lab.directory / "failed").read_text() == "local2\nlocal3\n"
    # What it says to type works.
    repeated = lab(*shlex.split(again)[1:])
    assert (repeated.returncode, "local1" in repeated.stdout) == (2, False)
    assert lab("run", "--last-failed", "--", "true").stderr == "2 ok\n"
    nothing = lab("run", "--last-failed")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "failed on no machine" in nothing.stderr


def test_json_has_a_row_for_each_machine(lab: Lab):
    done = lab("run", "--json", "--", "printf '\\377'; kill -9 $$")
    value = checked("run", done.stdout)
    assert done.returncode == 3
    assert [row["name"] for row in value["machines"]] == NAMES
    for row in value["machines"]:
        assert (row["state"], row["exit"], row["signal"]) == ("failed", None, 9)
        assert row["stdout"] == {"base64": "/w=="}
    assert value["failed"] == 3
    assert lab.job(value["job"]).failed == 3


def test_outputs_are_kept_in_a_file_for_each_machine(lab: Lab):
    assert lab("run", "-o", "outs", "-e", "errs", "--", "echo out; echo err >&2").returncode == 0
    for name in NAMES:
        assert (lab.directory / "outs" / name).read_text() == "out\n"
        assert (lab.directory / "errs" / name).read_text() == "err\n"


def test_nothing_runs_when_its_output_could_not_be_kept(lab: Lab):
    (lab.directory / "in the way").write_text("")
    ran = lab.directory / "ran"
    inside = lab.directory / "in the way"
    for option, told in [
        *((option, f"{inside} is no directory") for option in ("-o", "-e")),
        *(
            (option, "there is no directory in the way")
            for option in ("--pass-file", "--fail-file")
        ),
    ]:
        done = lab("run", option, "in the way/x", "--", f"touch '{ran}'")
        assert (done.returncode, done.stdout) == (255, "")
        assert done.stderr == f"covey: {option} in the way/x: {told}\n"
    assert not ran.exists()


def test_what_cannot_be_kept_is_no_success(lab: Lab):
    (lab.directory / "taken/local2").mkdir(parents=True)
    done = lab("run", "-o", "taken", "--", "echo out")
    assert done.returncode == 255
    assert "covey: cannot write taken/local2: Is a directory\n" in done.stderr
    assert (lab.directory / "taken/local1").read_text() == "out\n"


def test_a_time_limit_ends_it_with_all_that_it_started(lab: Lab):
    done = lab("run", "--timeout", "0.5s", "--limit", "local1", "--", f"{LONG} & {LONG}; wait")
    assert done.returncode == 1
    assert "── local1 · timed out" in done.stdout
    assert _running(LONG) == []


def test_it_does_not_wait_for_a_slot(lab: Lab):
    busy = lab.map("-j1", f"true {{}}; {LONG}", ":::", "1", "2", "3", "4")
    try:
        wait_until(lambda: len(_running(LONG)) >= 3, describe=lambda: {"err": busy.err})
        assert lab("run", "--", "true").stderr == "3 ok\n"
        assert busy.process.poll() is None
    finally:
        lab("cancel", "all")
        busy.wait()


def test_lines_come_live_with_the_name_of_their_machine(lab: Lab):
    call = lab.start("run", "--live", "--", f"echo begun; {LONG}")
    try:
        lines = {f"{name}: begun".encode() for name in NAMES}
        wait_until(lambda: lines <= set(call.out.splitlines()), describe=lambda: {"out": call.out})
        assert call.process.poll() is None
    finally:
        lab("cancel", "all")
        call.wait()
    assert call.out.count(b"begun") == 3


def test_ctrl_c_leaves_it_running_and_says_how_to_come_back(lab: Lab):
    call = lab.start("run", "--", LONG)
    wait_until(lambda: len(_running(LONG)) == 3, describe=lambda: {"err": call.err})
    call.interrupt()
    assert call.wait() == 130
    job = lab.view.jobs()[-1].job
    assert f"job {job} goes on" in call.err
    assert f"covey attach {job}" in call.err
    assert len(_running(LONG)) == 3
    assert lab("cancel", str(job)).returncode == 0
    wait_until(lambda: not _running(LONG), describe=lambda: {"left": _running(LONG)})


def test_it_is_a_job_with_logs_and_a_joblog(lab: Lab):
    lab("run", "--name", "greeting", "--", "echo hello")
    row = lab.json("jobs", "last")["jobs"][0]
    assert (row["name"], row["command"], row["total"]) == (
        "greeting",
        "covey run -- 'echo hello'",
        3,
    )
    assert lab("logs", "last").stdout == "hello\n" * 3
    assert "machines  local1 1, local2 1, local3 1" in lab("show", "last").stdout
    assert len(lab("joblog", "last").stdout.splitlines()) == 4


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "say what to run"),
        (["uptime"], "there is no script uptime here"),
        (["--limit", "lab*", "--", "true"], "there is no machine"),
        (["--timeout", "soon", "--", "true"], "no length of time"),
        (["--nonsense", "--", "true"], "--nonsense"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_255(lab: Lab, words: list[str], sentence: str):
    done = lab("run", *words)
    assert (done.returncode, done.stdout) == (255, "")
    assert sentence in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_cannot_be_run_ends_as_in_a_shell(lab: Lab):
    rows = json.loads(lab("run", "--json", "--", "no-such-program", "x").stdout)["machines"]
    assert {row["exit"] for row in rows} == {127}
    rows = json.loads(lab("run", "--json", "--", "/etc/passwd", "x").stdout)["machines"]
    assert {row["exit"] for row in rows} == {126}


# ---------------------------------------------------------------- mkdir


def test_mkdir_says_for_each_machine_what_it_did(lab: Lab):
    done = lab("mkdir", "shelf")
    assert sorted(done.stdout.splitlines()) == [f"created shelf @{name}" for name in NAMES]
    again = lab("mkdir", "shelf")
    assert (again.returncode, again.stderr) == (0, "")
    assert sorted(again.stdout.splitlines()) == [f"exists shelf @{name}" for name in NAMES]
    assert all((work_dir(lab, name) / "shelf").is_dir() for name in NAMES)


def test_two_words_are_parent_and_name(lab: Lab):
    lab("mkdir", "parent")
    done = lab("mkdir", "parent/", "name")
    assert sorted(done.stdout.splitlines()) == [f"created parent/name @{name}" for name in NAMES]


def test_a_missing_parent_is_the_error_of_that_machine(lab: Lab):
    (work_dir(lab, "local2") / "there").mkdir()
    done = lab("mkdir", "there", "child")
    assert done.returncode == 1
    assert done.stdout == "created there/child @local2\n"
    assert sorted(done.stderr.splitlines()) == [
        f"covey: there/child @{name}: No such file or directory (--parents makes what is missing)"
        for name in ("local1", "local3")
    ]
    assert lab("mkdir", "--parents", "there", "child").returncode == 0


def test_a_directory_may_have_any_name(lab: Lab):
    name = "a b\n'\"; $(x) * -é"
    value = checked("mkdir", lab("mkdir", "--json", "--", name, "./-x").stdout)
    for row in value["machines"]:
        assert [path["state"] for path in row["paths"]] == ["created", "created"]
    for machine in NAMES:
        assert (work_dir(lab, machine) / name).is_dir()
        assert (work_dir(lab, machine) / "-x").is_dir()


def test_a_file_in_the_way_is_an_error(lab: Lab):
    (work_dir(lab, "local1") / "taken").write_text("")
    done = lab("mkdir", "--limit", "local1", "taken")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "covey: taken @local1: File exists\n"


def _running(command: str) -> list[int]:
    words = command.encode().replace(b" ", b"\0") + b"\0"
    found: list[int] = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if Path(f"/proc/{name}/cmdline").read_bytes() == words:
                    found.append(int(name))
            except OSError:
                continue
    return found
