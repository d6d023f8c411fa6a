"""PPSS's words: `covey config` and what it refuses, as a shell runs it."""

from pathlib import Path

import pytest
from tests.integration.cli.command_line import CommandLine


@pytest.fixture
def away(covey: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """`covey` in an empty directory."""
    monkeypatch.chdir(tmp_path)
    return covey


def test_config_writes_the_machines_with_ppss_options(away: CommandLine):
    Path("nodes.txt").write_text("node01\n")
    done = away("config", "-C", "my lab.toml", "-n", "nodes.txt", "-u", "ppss", "-p", "3")
    assert (done.code, done.err) == (0, "")
    assert done.out == "my lab.toml: 1 machine; bring up with: covey start -C 'my lab.toml'\n"
    listed = away("hosts", "-H", "my lab.toml").out.splitlines()[1].split()
    assert listed[:3] == ["node01", "ppss@node01", "3"]


def test_what_config_cannot_write_is_said_and_not_written(away: CommandLine):
    for words, told in [
        (("-u", "a b", "lab1"), "'a b' is no user name"),
        (("-p", "many", "lab1"), "'many' is no number of slots"),
        (("-m", "10.0.0.1"), "covey config writes machines, not -m: the head is where you call"),
        (("-k", "key"), "keys and known hosts are those of your own ssh"),
        (("-c", "gzip "), "what is run over which items is said to: covey map"),
        (("-Z",), "unknown option -Z"),
    ]:
        done = away("config", "-C", "lab.toml", *words)
        assert (done.code, told in done.err) == (2, True), done.err
        assert not Path("lab.toml").exists()
    done = away("config", "-C", "none/lab.toml", "lab1")
    assert (done.code, done.err) == (
        2,
        "covey: cannot write none/lab.toml: No such file or directory\n",
    )


def test_a_list_that_is_not_there_is_no_order_to_erase_all(away: CommandLine):
    done = away("erase", "-C", "lab.toml", "--yes")
    assert done.code == 2
    assert "there is no lab.toml" in done.err
    Path("lab.toml").write_text('hosts = ["lab1"]\n')
    done = away("erase", "-C", "lab.toml", "lab2", "--yes")
    assert (done.code, "not both" in done.err) == (2, True)
