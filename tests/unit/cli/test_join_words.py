"""The words of `covey join` and `--head`, before any connection."""

import json
from pathlib import Path

import pytest

from covey.cli.at_head import without
from covey.cli.join import masters_of
from covey.cli.main import head_of_words
from covey.errors import UsageError
from covey.fleet.to_head import head_host


def config(tmp_path: Path, value: object) -> str:
    path = tmp_path / "slave.json"
    path.write_text(json.dumps(value))
    return str(path)


def test_masters_are_read_as_antnest_wrote_them(tmp_path: Path) -> None:
    masters = [
        {"hostname": "a"},
        {"hostname": "b", "ip": "192.168.0.1"},
        {"hostname": "c", "port": 33310},
        {"hostname": "d", "ip": "10.0.0.4", "port": 2222},
        {"hostname": "e", "ip": "fe80::1", "port": 2222},
    ]
    assert masters_of(config(tmp_path, {"masters": masters})) == [
        "a", "192.168.0.1", "c", "10.0.0.4:2222", "[fe80::1]:2222",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [[], {}, {"masters": []}, {"masters": [{"ip": "10.0.0.1"}]}, {"masters": ["a"]},
     {"masters": [{"hostname": "a", "port": "22"}]}],
)  # fmt: skip
def test_what_is_no_such_file_is_refused(tmp_path: Path, value: object) -> None:
    with pytest.raises(UsageError, match=r"slave\.json"):
        masters_of(config(tmp_path, value))


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        masters_of(str(tmp_path / "none.json"))
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(UsageError, match="is no JSON"):
        masters_of(str(tmp_path / "broken.json"))


@pytest.mark.parametrize(
    ("before", "name", "after", "head"),
    [
        (["--head", "pi@on"], "status", [], "pi@on"),
        (["--head=on"], "map", ["echo", ":::", "a"], "on"),
        ([], "up", ["lab1", "--head", "on"], "on"),
        ([], "down", ["--", "--head", "on"], ""),
        # Those words are the user's.
        ([], "exec", ["lab1", "grep", "--head", "x"], ""),
        ([], "status", ["--head"], ""),
    ],
)
def test_where_a_head_is_named(
    monkeypatch: pytest.MonkeyPatch, before: list[str], name: str, after: list[str], head: str
) -> None:
    monkeypatch.delenv("COVEY_HEAD", raising=False)
    assert head_of_words(before, name, after) == head
    monkeypatch.setenv("COVEY_HEAD", "other")
    assert head_of_words(before, name, after) == (head or "other")


def test_an_option_is_taken_out_with_its_value() -> None:
    assert without(["lab1", "--head", "on", "--slots", "2"], "--head") == (
        ["lab1", "--slots", "2"],
        "on",
    )
    assert without(["--head=on", "--", "--head", "x"], "--head") == (["--", "--head", "x"], "on")


def test_a_head_is_one_machine() -> None:
    host = head_host("pi@always-on:2222")
    assert (host.address, host.user, host.port) == ("always-on", "pi", 2222)
    for word in ("a,b", "lab[1:3]", "", "-oProxyCommand=x"):
        with pytest.raises(UsageError):
            head_host(word)
