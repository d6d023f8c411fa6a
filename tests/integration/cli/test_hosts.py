"""covey hosts, as a shell runs it."""

from pathlib import Path

import pytest
from tests.integration.cli.command_line import CommandLine
from tests.integration.cli.schemas import checked


@pytest.fixture
def away(covey: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """`covey` in an empty directory, and without a list of its user's."""
    monkeypatch.chdir(tmp_path)
    covey.env["XDG_CONFIG_HOME"] = str(tmp_path / "config")
    return covey


def test_what_would_be_used_is_listed_with_its_origin(away: CommandLine):
    Path("hosts.txt").write_text("8/pi@rack:2222\nlab[1:2]\n")
    ended = away("hosts", "list", "-H", "hosts.txt", "--limit", "lab*,!lab2,rack")
    assert (ended.code, ended.err) == (0, "")
    assert [line.split() for line in ended.out.splitlines()] == [
        ["MACHINE", "LOGIN", "SLOTS", "GROUPS", "FROM"],
        ["rack", "pi@rack:2222", "8", "-", "hosts.txt:1"],
        ["lab1", "lab1", "-", "-", "hosts.txt:2"],
    ]
    value = checked("hosts", away("hosts", "--json", "4/me@lab1").out)
    assert (value["source"], value["machines"][0]["name"]) == ("the command line", "lab1")
    assert value["machines"][0]["user"] == "me"


def test_an_empty_limit_is_refused_and_does_not_mean_all(away: CommandLine):
    Path("hosts.txt").write_text("lab1\n")
    for words in (("hosts", "-H", "hosts.txt"), ("down",), ("drain",)):
        ended = away(*words, "--limit", "")
        assert (ended.code, ended.out) == (2, "")
        assert "--limit is empty" in ended.err
    assert away("hosts", "-H", "hosts.txt", "--limit", "all").code == 0


def test_words_may_come_from_standard_input(away: CommandLine):
    ended = away("hosts", "-H", "-", stdin="lab1\nlab2 pi\n")
    assert "pi@lab2" in ended.out
    assert "standard input:2" in ended.out


def test_nothing_named_says_how_to_name_something(away: CommandLine):
    ended = away("hosts")
    assert (ended.code, ended.out) == (2, "")
    assert "no machine is named" in ended.err
    assert checked("hosts", away("hosts", "--json").out)["machines"] == []


def test_check_tells_every_bad_line_and_ends_with_2(away: CommandLine):
    Path("hosts.txt").write_text("lab1\n-x\n\nlab1:70000\n")
    Path("machines.csv").write_text("name,ip\nlab2,a;b\n")
    ended = away("hosts", "check", "hosts.txt", "machines.csv")
    assert ended.code == 2
    assert ended.out.splitlines() == [
        "hosts.txt:2: '-x' is no host name or address: it begins with -",
        "hosts.txt:4: '70000' is no port — a number from 1 to 65535",
        "machines.csv:2: 'a;b' is no host name or address: a ';' cannot stand in one",
    ]
    assert ended.err == "covey: 3 problems\n"
    value = checked("hosts-check", away("hosts", "check", "--json", "hosts.txt").out)
    assert value["ok"] is False
    assert [problem["line"] for problem in value["problems"]] == [2, 4]


def test_check_of_a_good_list_says_so_with_its_notes(away: CommandLine):
    Path("hosts.txt").write_text("lab1\nlab2\nlab1\n")
    ended = away("hosts", "check", "hosts.txt")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        "hosts.txt:3: lab1 is named in line 1 already (no problem)",
        "hosts.txt: 2 machines, all lines are good",
    ]
    value = checked("hosts-check", away("hosts", "check", "--json", "hosts.txt").out)
    assert (value["ok"], value["machines"], len(value["notes"])) == (True, 2, 1)


def test_check_without_a_file_looks_at_what_would_be_used(away: CommandLine):
    Path("covey.toml").write_text("[machines.lab1]\nslto = 4\n")
    ended = away("hosts", "check")
    assert ended.code == 2
    assert ended.out == "covey.toml:2: [machines.lab1] has no key 'slto' — did you mean slots?\n"
    Path("covey.toml").write_text("[machines.lab1]\nslots = 4\n")
    assert away("hosts", "check").out == "covey.toml: 1 machine, all lines are good\n"


def test_a_bad_list_is_one_line_elsewhere(away: CommandLine):
    Path("hosts.txt").write_text("-x\n;\n:\n")
    ended = away("hosts", "list", "-H", "hosts.txt")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("covey: hosts.txt:1: '-x' is no host name")
    assert ended.err.endswith("(1 more: covey hosts check hosts.txt)\n")


def test_nothing_of_a_hostile_list_is_run_or_moves_the_cursor(away: CommandLine, tmp_path: Path):
    before = sorted(path.name for path in tmp_path.iterdir())
    hostile = "$(touch pwned)\n`touch pwned`\nlab;touch pwned\n-oProxyCommand=touch\n\x1b[2Jlab\n"
    ended = away("hosts", "check", "-", stdin=hostile + "lab\rx\nlab 'x y'\n")
    assert ended.code == 2
    assert len(ended.out.splitlines()) == 7
    assert "\x1b" not in ended.out
    assert "\r" not in ended.out
    assert sorted(path.name for path in tmp_path.iterdir()) == before
