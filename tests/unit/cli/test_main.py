"""The frame: which command, which exit code, what an error looks like."""

import errno
import importlib

import pytest

from covey.cli import main as frame
from covey.cli.tree import COMMANDS, command_tree
from covey.errors import DiskFull, InternalError, JobNotFound, NotUp, SettingsError

Parts = tuple[list[str], str, list[str]]
SPLITS: list[tuple[list[str], Parts]] = [
    (["jobs"], ([], "jobs", [])),
    (["--json", "jobs", "--cluster", "x"], (["--json"], "jobs", ["--cluster", "x"])),
    (["--cluster", "map", "jobs"], (["--cluster", "map"], "jobs", [])),
    (
        ["--cluster=a", "-v", "map", "-j2", "echo"],
        (["--cluster=a", "-v"], "map", ["-j2", "echo"]),
    ),
    (["--help"], (["--help"], "", [])),
    ([], ([], "", [])),
    (["--cluster"], (["--cluster"], "", [])),
]


@pytest.mark.parametrize(("argv", "parts"), SPLITS)
def test_the_command_is_the_first_word_that_is_no_option(argv: list[str], parts: Parts) -> None:
    assert frame.split_command(argv) == parts


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (NotUp(), "the cluster is not up — start it with: covey up"),
        (
            JobNotFound("there is no job 7 — list them with: covey jobs"),
            "there is no job 7 — list them with: covey jobs",
        ),
        (DiskFull("no space left in /s. Free some."), "no space left in /s — free some"),
        (SettingsError("two\nlines"), "two lines"),
        (NotUp("COVEY_HOME is odd"), "COVEY_HOME is odd"),
    ],
)
def test_an_error_is_one_line_what_and_what_to_do(error: Exception, line: str) -> None:
    assert frame.one_line(error) == line  # type: ignore[arg-type]


class Failing:
    """A command that ends with the given exception."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, *_args: object) -> int:
        raise self.error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (SettingsError("bad"), 2, "covey: bad\n"),
        (NotUp(), 1, "covey: the cluster is not up — start it with: covey up\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 141, ""),
        (
            PermissionError(errno.EACCES, "Permission denied", "/s/ledger"),
            1,
            "covey: Permission denied: /s/ledger\n",
        ),
        (
            ZeroDivisionError("a\nb"),
            1,
            "covey: a bug in covey: ZeroDivisionError: a b — please report it with what -v shows\n",
        ),
        (InternalError("odd"), 1, "covey: odd (a bug in covey; -v shows where)\n"),
    ],
)
def test_whatever_ends_a_command_becomes_one_line_and_an_exit_code(
    error: BaseException,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(frame, "_run_tree", Failing(error))
    monkeypatch.setattr(frame, "_drop_stdout", lambda: None)
    assert frame.main(["jobs"]) == code
    assert capfd.readouterr().err == said


@pytest.mark.parametrize(
    ("cluster", "path", "said"),
    [
        ("lab", "/s/lab/ledger", "/s/lab/ledger — check who owns it, or set COVEY_HOME elsewhere"),
        ("lab", "/second/file", "/second/file"),
        # A setting that is wrong as well does not keep it from being told.
        ("no name", "/s/lab/ledger", "/s/lab/ledger"),
    ],
)
def test_what_the_system_refuses_is_told_with_what_helps_where_covey_keeps_its_state(
    cluster: str,
    path: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COVEY_HOME", "/s")
    monkeypatch.setenv("COVEY_CLUSTER", cluster)
    refused = PermissionError(errno.EACCES, "Permission denied", path)
    monkeypatch.setattr(frame, "_run_tree", Failing(refused))
    assert frame.main(["jobs"]) == 1
    assert capfd.readouterr().err == f"covey: Permission denied: {said}\n"


@pytest.mark.parametrize(
    ("error", "code"), [(SettingsError("bad"), 255), (NotUp(), 255), (KeyboardInterrupt(), 130)]
)
def test_map_fails_with_255_because_1_to_101_count_items(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame, "_run_map", Failing(error))
    assert frame.main(["map", "true"]) == code


def test_map_is_given_its_words_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def run_map(argv: list[str]) -> int:
        seen.append(argv)
        return 7

    monkeypatch.setattr(frame, "_run_map", run_map)
    assert frame.main(["map", "-j", "2", "--weird", "a b", ":::", "--help", "-v"]) == 7
    assert frame.main(["--cluster", "x", "--json", "-v", "map", "c"]) == 7
    assert frame.main(["help", "map"]) == 7
    assert seen == [
        ["-j", "2", "--weird", "a b", ":::", "--help", "-v"],
        ["--cluster", "x", "--json", "c"],
        ["--help"],
    ]


def test_a_traceback_is_shown_only_on_request(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(frame, "_run_tree", Failing(NotUp()))
    frame.main(["-v", "status"])
    assert "Traceback" in capfd.readouterr().err
    frame.main(["status", "--verbose"])
    assert "Traceback" in capfd.readouterr().err
    frame.main(["status"])
    assert "Traceback" not in capfd.readouterr().err


def test_the_table_of_commands_is_the_commands() -> None:
    tree = command_tree()
    for name, entry in COMMANDS.items():
        if not entry.attribute:
            continue
        found = getattr(importlib.import_module(entry.module), entry.attribute)
        assert found.name == name
        assert found.help, name
        assert found.epilog.startswith("\b\nExamples:\n"), name
        assert f"covey {name}" in found.epilog
    assert tree.list_commands(
        tree.make_context("covey", ["--help"], resilient_parsing=True)
    ) == list(COMMANDS)
