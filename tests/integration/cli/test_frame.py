"""The frame of the command line, in processes of its own."""

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.cli.command_line import CommandLine

from covey._version import VERSION
from covey.cli.tree import COMMANDS
from covey.testing.waiting import COMMAND_MAX_S

#: Processor time of `covey --help`, as so many times that of Python alone on the same machine, fast
#: or slow: twice what design.md §12 grants, and bench/ measures on an idle machine.
HELP_CPU_MAX = 12


def _cpu_of_children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def imported(*words: str) -> set[str]:
    """The modules that a command line imports."""
    env = {**os.environ, "COVEY_HOME": "/nonexistent"}
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "covey", *words],
        capture_output=True,
        text=True,
        env=env,
        check=False,
        timeout=COMMAND_MAX_S,
    )
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "|" in line}


@pytest.mark.parametrize("words", [["--help"], [], ["--version"], ["nonsense"]])
def test_help_and_usage_errors_import_nothing_dear(words: list[str]) -> None:
    modules = imported(*words)
    assert "covey.cli.main" in modules
    assert not modules & {"asyncio", "nats", "rich", "msgpack", "sqlite3", "subprocess"}


@pytest.mark.parametrize("words", [["jobs", "--help"], ["jobs"], ["status", "--help"]])
def test_what_only_reads_imports_neither_asyncio_nor_the_bus(words: list[str]) -> None:
    modules = imported(*words)
    assert "covey.cli.main" in modules
    assert not modules & {"asyncio", "nats", "rich", "cloudpickle"}


def test_help_lists_every_command_without_importing_any() -> None:
    modules = imported("--help")
    assert not modules & {entry.module for entry in COMMANDS.values()}


def test_help_costs_no_more_than_its_budget(covey: CommandLine) -> None:
    costs: list[float] = []
    bare: list[float] = []
    for _ in range(7):
        before = _cpu_of_children_s()
        assert covey("--help").code == 0
        costs.append(_cpu_of_children_s() - before)
        subprocess.run([sys.executable, "-c", ""], env=covey.env, check=True, timeout=COMMAND_MAX_S)
        bare.append(_cpu_of_children_s() - before - costs[-1])
    # The best of seven: other work on the machine is not what this budget is about.
    assert min(costs) <= HELP_CPU_MAX * min(bare), (costs, bare)


def test_no_words_at_all_is_help(covey: CommandLine) -> None:
    bare, asked = covey(), covey("--help")
    assert (bare.code, bare.out) == (0, asked.out)
    assert covey("help").out == asked.out
    assert "covey map 'gzip -k {}' ::: *.log" in asked.out
    assert "101 more than 100" in asked.out


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_the_version_is_one_line(covey: CommandLine, flag: str) -> None:
    assert covey(flag) == (0, f"covey {VERSION}\n", "")


@pytest.mark.parametrize("name", [name for name, entry in COMMANDS.items() if entry.attribute])
def test_every_command_explains_itself_and_ends_with_examples(
    covey: CommandLine, name: str
) -> None:
    asked = covey(name, "--help")
    assert (asked.code, asked.err) == (0, "")
    assert covey("help", name).out == asked.out
    assert asked.out.startswith(f"Usage: covey {name} ")
    assert "--json" in asked.out
    assert "--cluster NAME" in asked.out
    examples = asked.out.partition("Examples:\n")[2].splitlines()
    assert examples
    assert any(f"covey {name}" in line or f" {name}" in line for line in examples)
    assert max(len(line) for line in asked.out.splitlines()) <= 100


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["statsu"], "did you mean: covey status"),
        (["frobnicate"], "see: covey --help"),
        (["--bogus"], "covey --help"),
        (["jobs", "--bogus"], "covey: unknown option --bogus — see: covey jobs --help\n"),
        # Near is what begins so, or is spelt nearly so: --now and --group are neither.
        (["up", "--job"], "covey: unknown option --job — see: covey up --help\n"),
        (["up", "--frob"], "covey: unknown option --frob — see: covey up --help\n"),
        (["up", "--grup"], "did you mean --group?"),
        (["up", "--accept"], "did you mean --accept-new-host-keys?"),
        (["show"], "covey show --help"),
        (["show", "nine"], "'nine' names no job"),
        (["show", "0"], "count from 1"),
        (["up"], "for example: covey up lab1 lab2"),
        (["up", "--local", "0"], "covey up --help"),
        (["up", "--local", "many"], "covey up --help"),
        (["chaos", "nuke", "local1"], "'nuke' is not one of"),
        (["chaos", "freeze", "local1", "--for", "soon"], "'soon' is no length of time"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
        (["prune", "--older", "old"], "'old' is no length of time"),
        (["--cluster", "no/slash", "jobs"], "cluster name 'no/slash'"),
        (["jobs", "--cluster", "a b"], "cluster name 'a b'"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    covey: CommandLine, words: list[str], said: str
) -> None:
    ended = covey(*words)
    assert (ended.code, ended.out) == (2, "")
    assert re.fullmatch(r"covey: [^\n]+\n", ended.err)
    assert said in ended.err


def test_v_shows_where_an_error_came_from(covey: CommandLine) -> None:
    assert "Traceback" in covey("show", "nine", "-v").err
    assert "Traceback" in covey("-v", "show", "nine").err


def test_a_reader_that_goes_away_is_no_error(covey: CommandLine) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "covey", "--help"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            env=covey.env,
            check=False,
            timeout=COMMAND_MAX_S,
        )
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_full_disk_under_stdout_is_said(covey: CommandLine) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "covey", "jobs"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=covey.env,
            check=False,
            timeout=COMMAND_MAX_S,
        )
    assert done.returncode == 1
    first = b"covey: No space left on device where covey keeps its state, or where its output goes "
    assert done.stderr.startswith(first)
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_stream_is_one_that_nobody_reads(closed: str, covey: CommandLine) -> None:
    for words in ("jobs", "map --here echo ::: a b"):
        done = subprocess.run(
            ["/bin/sh", "-c", f'exec "$0" -m covey {words} {closed}', sys.executable],
            capture_output=True,
            text=True,
            env=covey.env,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        if words.startswith("map") and ">&-" not in closed.replace("2>&-", ""):
            assert sorted(done.stdout.split()) == ["a", "b"]
    assert "succeeded" in covey("jobs").out


@pytest.mark.parametrize("words", [("up", "--local", "1"), ("map", "--here", "echo", ":::", "a")])
def test_a_state_directory_that_cannot_be_made_is_said_with_what_to_do(
    words: tuple[str, ...], covey: CommandLine
) -> None:
    # Not even root can make one there.
    covey.env["COVEY_HOME"] = f"/proc/{os.getpid()}/state"
    done = covey(*words)
    assert done.code in (1, 255)
    assert "set COVEY_HOME elsewhere" in done.err
    assert done.err.count("\n") == 1


def test_what_finds_no_space_says_what_to_do(covey: CommandLine) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "covey", "jobs"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=covey.env,
            timeout=60,
            check=False,
        )
    assert done.returncode == 1
    assert b"free space there" in done.stderr
    assert done.stderr.count(b"\n") == 1


#: `python -m covey` with a Ctrl-C in the moment in which it imports a module.
INTERRUPTED_IMPORT = """
import os, runpy, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)

module = sys.argv.pop(1)
sys.meta_path.insert(0, Finder())
runpy.run_module("covey", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("module", ["covey.cli.main", "covey.errors", "click", "covey.cli.jobs"])
def test_ctrl_c_while_covey_is_still_being_imported_is_quiet(
    covey: CommandLine, module: str
) -> None:
    words = [sys.executable, "-c", INTERRUPTED_IMPORT, module, "jobs"]
    done = subprocess.run(
        words, env=covey.env, capture_output=True, text=True, check=False, timeout=COMMAND_MAX_S
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_current_directory_that_is_gone_is_said(covey: CommandLine, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    line = 'cd "$1" && rmdir "$1" && exec "$2" -m covey map echo ::: a'
    words = ["sh", "-c", line, "sh", str(gone), sys.executable]
    done = subprocess.run(
        words, env=covey.env, capture_output=True, text=True, check=False, timeout=COMMAND_MAX_S
    )
    assert (done.returncode, done.stdout) == (255, "")
    said = "covey: the directory that you are in is gone — go to one that is there: cd\n"
    assert done.stderr.endswith(said)
