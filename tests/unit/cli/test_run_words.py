"""What the words of `covey run` mean."""

from pathlib import Path

import click
import pytest

from covey.cli.foreign import ForeignCommand, split_words
from covey.cli.run.order import read_order
from covey.errors import CoveyError, UsageError


def _split(words: tuple[str, ...], **_: object) -> tuple[list[str], list[str] | None]:
    return split_words(words)


def _words(*typed: str) -> tuple[list[str], list[str] | None]:
    """As click hands them over, behind the options of covey."""
    built = ForeignCommand(
        "run",
        params=[
            click.Option(["--limit"]),
            click.Option(["-v"], is_flag=True),
            click.Argument(["words"], nargs=-1, type=click.UNPROCESSED),
        ],
        callback=_split,
    )
    return built.main(list(typed), standalone_mode=False)


@pytest.mark.parametrize(
    ("typed", "before", "behind"),
    [
        (["--", "uptime"], [], ["uptime"]),
        (["-v", "--", "ls", "-l", "--", "x"], [], ["ls", "-l", "--", "x"]),
        (["s.py", "-v", "--limit", "a"], ["s.py", "-v", "--limit", "a"], None),
        (["--limit", "a", "s.py", "x"], ["s.py", "x"], None),
        (["s.py", "--", "-v"], ["s.py"], ["-v"]),
        (["--"], [], []),
        ([], [], None),
    ],
)
def test_options_of_covey_end_where_the_users_words_begin(
    typed: list[str], before: list[str], behind: list[str] | None
):
    assert _words(*typed) == (before, behind)


def test_one_word_is_a_line_for_the_shell():
    errand = read_order([], ["echo $HOME | wc"]).errand
    assert (errand.line, errand.argv) == (b"echo $HOME | wc", ())


def test_several_words_are_a_program_and_its_arguments():
    errand = read_order([], ["printf", "%s", "$HOME; \udcff\n"]).errand
    assert (errand.line, errand.argv) == (b"", (b"printf", b"%s", b"$HOME; \xff\n"))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "count words.py").write_text("print(1)\n")
    return tmp_path


def test_a_script_has_the_project_of_its_name(here: Path):
    asked = read_order(["count words.py", "--top", "10"], None)
    assert asked.errand.project == "count words"
    assert asked.errand.script == b"print(1)\n"
    assert asked.errand.script_name == b"count words.py"
    assert asked.errand.argv == (b"--top", b"10")
    assert asked.note == ""


def test_a_plain_word_alone_behind_a_script_is_distsys_s_project(here: Path):
    asked = read_order(["count words.py", "tweets"], None)
    assert (asked.errand.project, asked.errand.argv) == ("tweets", (b"tweets",))
    assert "project tweets" in asked.note


@pytest.mark.parametrize("argument", ["10", "--fast", "a/b", "./x", "count words.py", "*.txt"])
def test_anything_else_behind_a_script_is_its_argument(here: Path, argument: str):
    asked = read_order(["count words.py", argument], None)
    assert (asked.errand.project, asked.note) == ("count words", "")
    assert asked.errand.argv == (argument.encode(),)


def test_a_given_project_is_the_project(here: Path):
    asked = read_order(["count words.py", "fast"], None, project="tweets")
    assert (asked.errand.project, asked.errand.argv) == ("tweets", (b"fast",))
    assert read_order([], ["ls"], project="tweets").errand.project == "tweets"


def test_words_behind_a_script_s_dashes_are_its_own(here: Path):
    asked = read_order(["count words.py"], ["-v"])
    assert asked.errand.argv == (b"--", b"-v")
    assert asked.words == ("count words.py", "--", "-v")


@pytest.mark.parametrize("project", ["..", ".", "a/b", "-x", "a\nb"])
def test_what_cannot_name_a_directory_is_no_project(here: Path, project: str):
    with pytest.raises(UsageError):
        read_order(["count words.py"], None, project=project)


def test_a_missing_script_is_told_how_to_run_a_command(here: Path):
    with pytest.raises(UsageError, match=r"there is no script uptime here.*covey run -- uptime"):
        read_order(["uptime"], None)


@pytest.mark.parametrize("words", [([], None), ([], []), ([], ["  "])])
def test_nothing_to_run_is_said(words: tuple[list[str], list[str] | None]):
    with pytest.raises(UsageError, match="for example"):
        read_order(*words)


def test_a_directory_is_no_script(here: Path):
    (here / "folder").mkdir()
    with pytest.raises(CoveyError, match="folder"):
        read_order(["folder"], None)


def test_variables_are_taken_from_here_or_as_given(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MINE", "m")
    errand = read_order([], ["env"], env=["MINE", "YOURS=y=z"]).errand
    assert errand.env == {"MINE": "m", "YOURS": "y=z"}
    with pytest.raises(UsageError, match="no such variable"):
        read_order([], ["env"], env=["NOT_THERE_AT_ALL"])
    for word in ("A B=1", "=1", "", "1A=2"):
        with pytest.raises(UsageError, match="give NAME or NAME=VALUE"):
            read_order([], ["env"], env=[word])
