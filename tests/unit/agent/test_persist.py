"""What `--persist` writes: units that systemd takes, lines that cron's bare shell runs."""

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from covey.agent.persist import crontab_line, unit_text, without_line
from covey.testing.waiting import COMMAND_MAX_S

AWKWARD = ["a b", "it's", '"q"', "50%", "$HOME", "`id`", "back\\slash", "%h;echo x", "é", "*"]


def _echoing(tmp_path: Path) -> tuple[list[str], Path]:
    """A command that writes down its arguments, and where."""
    directory = tmp_path / "50% of it's $HOME"
    directory.mkdir()
    program = directory / "tell"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >"${0%/*}/told"\n')
    program.chmod(0o755)
    return [str(program), *AWKWARD], directory / "told"


def test_a_crontab_line_runs_under_the_bare_environment_of_cron(tmp_path: Path) -> None:
    argv, told = _echoing(tmp_path)
    line = crontab_line(argv, "covey.default.lab1")
    when, _, command = line.partition(" ")
    assert when == "@reboot"
    assert "\n" not in line
    # Cron takes an unescaped percent sign as the end of the command, and \% as one.
    assert "%" not in command.replace("\\%", "")
    subprocess.run(
        ["/bin/sh", "-c", command.replace("\\%", "%")],
        env={"HOME": str(tmp_path), "LOGNAME": "x", "SHELL": "/bin/sh", "PATH": "/usr/bin:/bin"},
        check=True,
        timeout=COMMAND_MAX_S,
    )
    assert told.read_text().splitlines() == AWKWARD


def test_only_our_own_line_leaves_a_crontab() -> None:
    mine = "0 5 * * * backup # covey.default.lab\n@daily x"
    both = mine.replace("\n", "\n" + crontab_line(["x"], "covey.default.lab1") + "\n")
    assert without_line(both, "covey.default.lab1") == mine
    assert without_line(mine, "covey.default.lab1") == mine
    assert without_line("", "covey.default.lab1") == ""


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    argv, _ = _echoing(tmp_path)
    unit = tmp_path / "covey.default.lab1.service"
    unit.write_text(unit_text(argv, "agent lab1"))
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(unit)],
        capture_output=True,
        text=True,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path)},
        check=False,
        timeout=COMMAND_MAX_S,
    )
    ours = [line for line in done.stderr.splitlines() if "covey" in line]
    assert (done.returncode, ours) == (0, []), done.stderr


def _words_of(text: str) -> list[str]:
    """What systemd makes of ExecStart."""
    (line,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    words = shlex.split(line.removeprefix("ExecStart="))
    return [word.replace("%%", "%").replace("$$", "$") for word in words]


def test_the_command_of_a_unit_runs_whatever_its_program_is_called(tmp_path: Path) -> None:
    argv, told = _echoing(tmp_path)
    subprocess.run(
        _words_of(unit_text(argv, "agent lab1")), env={}, check=True, timeout=COMMAND_MAX_S
    )
    assert told.read_text().splitlines() == AWKWARD


def test_the_command_of_a_unit_is_one_word_per_argument_and_nothing_is_expanded() -> None:
    text = unit_text(["/usr/bin/python3", "50%", "$HOME", 'say "x"'], "agent lab1")
    (line,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    assert line == 'ExecStart="/usr/bin/python3" "50%%" "$$HOME" "say \\"x\\""'
