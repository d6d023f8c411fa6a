"""[users] of covey.toml."""

import os
from pathlib import Path

import pytest

from covey.errors import InventoryError
from covey.fleet.config import read_config, read_users
from covey.model.users import PRIORITY_MAX, PRIORITY_MIN, User, Users


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / ".config/covey").mkdir(parents=True)
    return {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / ".config")}


def written(directory: Path, text: str) -> Path:
    path = directory / "covey.toml"
    path.write_text(text)
    path.chmod(0o600)
    return directory


def test_weights_and_priorities_are_read(tmp_path: Path, env: dict[str, str]):
    text = '[users]\nalice = {weight = 2, priorities = [0, 10]}\n"*" = {weight = 0.5}\n'
    users = read_users(env, written(tmp_path, text))
    everything = (PRIORITY_MIN, PRIORITY_MAX)
    assert users == Users({"alice": User(2.0, (0, 10)), "*": User(0.5, everything)})
    assert read_config(env, tmp_path).users == users


def test_the_nearer_file_with_such_a_section_wins_as_a_whole(tmp_path: Path, env: dict[str, str]):
    farther = tmp_path / ".config/covey/config.toml"
    farther.write_text("[users]\nalice = {weight = 2}\n")
    farther.chmod(0o600)
    assert read_users(env, tmp_path) == Users({"alice": User(2.0)})
    near = written(tmp_path, "[users]\nbob = {weight = 3}\n")
    assert read_users(env, near) == Users({"bob": User(3.0)})
    assert read_config(env, near).users == Users({"bob": User(3.0)})
    written(tmp_path, "[users]\n")
    assert read_users(env, near) == Users()


def test_without_such_a_section_there_is_no_table(tmp_path: Path, env: dict[str, str]):
    assert read_users(env, tmp_path) is None
    assert read_users(env, written(tmp_path, 'hosts = ["lab1"]\n')) is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("alice = {weight = 0}", "no weight"),
        ("alice = {weight = -1}", "no weight"),
        ("alice = {wieght = 1}", "did you mean weight"),
        ("alice = {priorities = [10, 0]}", "no range of priorities"),
        ("alice = {priorities = [0, 100000]}", "from -1000 to 1000"),
        ("alice = {priorities = 3}", "no range of priorities"),
        ("alice = {priorities = [true, 3]}", "no range of priorities"),
        ("alice = 3", "is a section"),
        ('"a b" = {weight = 1}', "no user name"),
    ],
)
def test_what_makes_no_sense_is_said_with_its_line(
    tmp_path: Path, env: dict[str, str], line: str, said: str
):
    with pytest.raises(InventoryError, match=said) as caught:
        read_users(env, written(tmp_path, f"[users]\n{line}\n"))
    assert "covey.toml:2" in str(caught.value)
