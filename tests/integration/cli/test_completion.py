"""Completion, in the shells themselves."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.cli.command_line import CommandLine
from tests.integration.cli.recorded import Recorded
from tests.integration.cli.schemas import checked

from covey.cli.tree import COMMANDS
from covey.testing.waiting import COMMAND_MAX_S

#: What bash does at a TAB: the words of the line into COMP_WORDS, then the registered function.
BASH = """
eval "$(covey completion bash)"
registered=$(complete -p covey)
COMP_WORDS=("$@")
COMP_CWORD=$(( $# - 1 ))
function=${registered#*-F }
${function%% *} covey
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def shell(covey: CommandLine, tmp_path: Path) -> CommandLine:
    """A command line whose `covey` is on the PATH."""
    binary = tmp_path / "bin"
    binary.mkdir()
    script = binary / "covey"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m covey "$@"\n')
    script.chmod(0o755)
    covey.env["PATH"] = f"{binary}{os.pathsep}{covey.env['PATH']}"
    return covey


def offered(shell: CommandLine, *words: str) -> list[str]:
    """What a TAB at the end of the line offers in bash."""
    done = subprocess.run(
        ["bash", "--norc", "-c", BASH, "bash", *words],
        env=shell.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_MAX_S,
    )
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands(shell: CommandLine) -> None:
    assert offered(shell, "covey", "") == list(COMMANDS)
    assert offered(shell, "covey", "sh") == ["show", "shutdown_local"]
    assert offered(shell, "covey", "--json", "jo") == ["jobs", "joblog", "join"]


def test_bash_completes_options(shell: CommandLine) -> None:
    assert "--older" in offered(shell, "covey", "prune", "--")
    assert offered(shell, "covey", "up", "--lo") == ["--local"]
    assert offered(shell, "covey", "map", "--keep-o") == ["--keep-order"]
    assert offered(shell, "covey", "chaos", "fr") == ["freeze"]
    assert offered(shell, "covey", "completion", "") == ["bash", "zsh", "fish"]


def test_bash_completes_machines_out_of_ssh_config_and_covey_toml(
    shell: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "ssh_config").write_text("Host labx laby *.org\n  User me\nHost rack\n")
    shell.env["COVEY_SSH_COMMAND"] = f"ssh -F {tmp_path / 'ssh_config'}"
    shell.env["XDG_CONFIG_HOME"] = str(tmp_path)
    (tmp_path / "covey").mkdir()
    (tmp_path / "covey" / "config.toml").write_text('hosts = ["lab[1:2]"]\n')
    assert offered(shell, "covey", "up", "lab") == ["lab1", "lab2", "labx", "laby"]
    assert offered(shell, "covey", "hosts", "list", "r") == ["rack"]
    (tmp_path / "covey" / "config.toml").write_text("hosts = [")
    assert offered(shell, "covey", "up", "lab") == ["labx", "laby"]


def test_bash_completes_job_numbers_newest_first(shell: CommandLine) -> None:
    state = shell.home / "default"
    state.mkdir(parents=True)
    for job in (1, 2, 12):
        Recorded(job, "echo a,b:c").items(b"x").write(state)
    assert offered(shell, "covey", "show", "") == ["last", "12", "2", "1"]
    assert offered(shell, "covey", "logs", "-f", "1") == ["12", "1"]
    assert offered(shell, "covey", "--cluster", "lab", "show", "") == ["last"]
    assert offered(shell, "covey", "jobs", "--cluster", "") == ["default"]


def test_a_tab_never_complains(shell: CommandLine) -> None:
    state = shell.home / "default"
    state.mkdir(parents=True)
    (state / "ledger.db").write_bytes(b"this is no ledger" * 100)
    assert offered(shell, "covey", "show", "") == ["last"]
    assert offered(shell, "covey", "chaos", "kill", "") == []


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_each_shell_takes_its_script(shell: CommandLine, name: str, tmp_path: Path) -> None:
    script = shell("completion", name)
    assert (script.code, script.err) == (0, "")
    assert checked("completion", shell("completion", name, "--json").out)["script"] == script.out
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not on this machine: its script is not tried")
    path = tmp_path / "script"
    path.write_text(script.out)
    done = subprocess.run(
        [name, "-n", str(path)], capture_output=True, text=True, check=False, timeout=COMMAND_MAX_S
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not on this machine")
def test_fish_completes_commands_and_jobs(shell: CommandLine) -> None:
    state = shell.home / "default"
    state.mkdir(parents=True)
    Recorded(7, "echo").items(b"x").write(state)
    for line, wanted in (("covey sh", ["show", "shutdown_local"]), ("covey show ", ["7", "last"])):
        done = subprocess.run(
            ["fish", "--no-config", "-c", f"covey completion fish | source; complete -C '{line}'"],
            env=shell.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_MAX_S,
        )
        assert sorted(word.split("\t")[0] for word in done.stdout.splitlines()) == wanted
