"""Which list is used, what covey.toml adds, and what is said about duplicates."""

import os
from pathlib import Path

import pytest

from covey.bus.config import ACCOUNT_USER
from covey.errors import InventoryError, UsageError
from covey.fleet.call_settings import settings_of_call
from covey.fleet.config import read_config
from covey.fleet.fields import FIELDS
from covey.fleet.host import Host
from covey.fleet.inventory import Inventory, read_inventory


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home directory, in which covey is called from `project`."""
    (tmp_path / "project").mkdir()
    (tmp_path / ".config" / "covey").mkdir(parents=True)
    (tmp_path / ".ssh").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path


def read(home: Path, *words: str, files: tuple[str, ...] = (), slots: str = "", **env: str):
    return read_inventory(words, files, env={"HOME": str(home), **env}, slots=slots)


def names(found: Inventory) -> list[str]:
    return [host.name for host in found.hosts]


def problems_of(error: InventoryError) -> list[str]:
    return [str(one) for one in error.data["problems"]]


def test_the_first_source_that_names_machines_is_the_list(home: Path):
    assert read(home) == Inventory(())
    users = home / ".config" / "covey" / "config.toml"
    users.write_text('hosts = ["theirs"]\n')
    assert (names(read(home)), read(home).source) == (["theirs"], str(users))
    project = home / "project" / "covey.toml"
    project.write_text("[defaults]\nslots = 2\n")
    assert names(read(home)) == ["theirs"]
    project.write_text('hosts = ["ours"]\n')
    assert (names(read(home)), read(home).source) == (["ours"], "covey.toml")
    by_env = read(home, COVEY_HOSTS="a 8/b,c\nd")
    assert (names(by_env), by_env.source) == (["a", "b", "c", "d"], "COVEY_HOSTS")
    (home / "list").write_text("filed\n")
    filed = read(home, files=(str(home / "list"),), COVEY_HOSTS="a")
    assert names(filed) == ["filed"]
    both = read(home, "typed", files=(str(home / "list"),), COVEY_HOSTS="a")
    assert names(both) == ["typed", "filed"]


def test_the_users_own_directory_of_settings_may_be_elsewhere(home: Path):
    (home / "xdg" / "covey").mkdir(parents=True)
    (home / "xdg" / "covey" / "config.toml").write_text('hosts = ["x"]\n')
    assert names(read(home, XDG_CONFIG_HOME=str(home / "xdg"))) == ["x"]


def test_covey_hosts_may_name_a_file(home: Path):
    (home / "project" / "hosts.txt").write_text("lab1\nlab2\n")
    assert names(read(home, COVEY_HOSTS="hosts.txt")) == ["lab1", "lab2"]
    assert names(read(home, COVEY_HOSTS=str(home / "project" / "hosts.txt"))) == ["lab1", "lab2"]
    with pytest.raises(InventoryError, match=r"\./missing: no such file"):
        read(home, COVEY_HOSTS="./missing")


def test_two_dots_are_the_sshloginfile_of_gnu_parallel(home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(home))
    (home / ".parallel").mkdir()
    (home / ".parallel" / "sshloginfile").write_text("8/lab1\n")
    assert read(home, files=("..",)).hosts[0].slots == "8"


def test_what_covey_toml_says_of_a_machine_holds_wherever_it_is_named(home: Path):
    (home / "project" / "covey.toml").write_text(
        '[machines.rack]\naddress = "10.0.0.9"\nuser = "pi"\nslots = 4\nweight = 2\n'
        '[machines.lab1]\n[groups.pis]\nmembers = ["rack"]\npython = "python3.12"\n'
        '[defaults]\npackages = ["numpy"]\n'
    )
    rack, other = read(home, "8/me@rack", "other").hosts
    assert rack == Host(
        "rack",
        "10.0.0.9",
        "me",
        0,
        "8",
        ("pis",),
        2.0,
        "python3.12",
        "",
        ("numpy",),
        "the command line",
    )
    assert (other.address, other.packages, other.labels) == ("other", ("numpy",), ())
    assert read(home, "rack", slots="2").hosts[0].slots == "2"
    assert read(home, "8/rack", slots="2").hosts[0].slots == "8"


def test_at_and_patterns_name_machines_of_covey_toml_and_ssh_config(home: Path):
    (home / "project" / "covey.toml").write_text(
        'hosts = ["lab[1:3]"]\n[groups.pis]\nmembers = ["lab1", "lab2"]\n'
    )
    (home / ".ssh" / "config").write_text(
        "Host labx laby *.example.org !no\n  User me\nInclude more/*\nMatch all\n"
    )
    (home / ".ssh" / "more").mkdir()
    (home / ".ssh" / "more" / "one").write_text('host = "labz"\nInclude more/*\n')
    assert names(read(home, "@pis", "other")) == ["lab1", "lab2", "other"]
    assert names(read(home, "lab?")) == ["lab1", "lab2", "lab3", "labx", "laby", "labz"]
    elsewhere = home / "elsewhere"
    elsewhere.write_text("Host lab7\n")
    assert names(read(home, "lab7*", COVEY_SSH_COMMAND=f"ssh -F {elsewhere}")) == ["lab7"]
    with pytest.raises(InventoryError, match="there is no group @nix"):
        read(home, "@nix")
    with pytest.raises(InventoryError, match="no machine 'zzz"):
        read(home, "zzz*")


def test_a_machine_named_twice_alike_is_one_and_that_is_said(home: Path):
    (home / "a").write_text("lab1\nlab2\n")
    (home / "b").write_text("name,ip,group\nlab2,lab2,pis\n")
    found = read(home, "lab1", files=(str(home / "a"), str(home / "b")))
    assert [(host.name, host.labels) for host in found.hosts] == [("lab1", ()), ("lab2", ("pis",))]
    assert [str(note) for note in found.notes] == [
        f"{home}/a:1: lab1 is named in the command line already: taken once",
        f"{home}/b:2: lab2 is named in {home}/a:2 already: taken once",
    ]


def test_two_names_for_one_address_are_said(home: Path):
    found = read(home, "10.0.0.1", "lab1")
    assert found.notes == ()
    (home / "a").write_text("lab1 address=10.0.0.1\nlab2 address=10.0.0.1\n")
    assert [note.reason for note in read(home, files=(str(home / "a"),)).notes] == [
        "lab2 is at the same address as lab1"
    ]


def test_contradictions_between_lists_are_told_with_both_places(home: Path):
    (home / "a").write_text("lab1:22\n")
    (home / "b").write_text("lab1:23 pi\n")
    with pytest.raises(InventoryError) as caught:
        read(home, files=(str(home / "a"), str(home / "b")))
    assert problems_of(caught.value) == [
        f"{home}/b:1: lab1: user pi here, not said in {home}/a:1",
        f"{home}/b:1: lab1: port 23 here, 22 in {home}/a:1",
    ]
    assert str(caught.value).endswith(f"(1 more: covey hosts check {home}/b)")


def test_groups_that_disagree_are_said(home: Path):
    (home / "project" / "covey.toml").write_text(
        'hosts = ["lab1"]\n[groups.a]\nmembers = ["lab1"]\nuser = "x"\n'
        '[groups.b]\nmembers = ["lab1"]\nuser = "y"\n'
    )
    found = read(home)
    assert found.hosts[0].user == "y"
    assert [note.reason for note in found.notes] == [
        "user of lab1 is y by group b, not x by group a"
    ]


@pytest.mark.parametrize("name", [ACCOUNT_USER, "head", "all"])
def test_a_machine_cannot_have_a_name_that_means_something_else(home: Path, name: str):
    with pytest.raises(InventoryError, match=f"cannot be called {name}"):
        read(home, name)


def test_every_problem_of_every_source_is_told_at_once(home: Path):
    (home / "a").write_text("-x\nlab1\n;\n*\n")
    with pytest.raises(InventoryError) as caught:
        read(home, "a;b", files=(str(home / "a"), str(home / "missing"), str(home)))
    assert [line.rpartition(": ")[0].partition(": ")[0] for line in problems_of(caught.value)] == [
        "the command line",
        f"{home}/a:1",
        f"{home}/a:4",
        f"{home}/missing",
        str(home),
    ]


def test_a_limit_leaves_some(home: Path):
    found = read(home, "lab[1:3]")
    assert names(found.limited("lab*,!lab2")) == ["lab1", "lab3"]
    assert found.limited("") is found
    with pytest.raises(UsageError):
        found.limited("nix")


def test_a_covey_toml_of_somebody_else_is_not_read(home: Path):
    toml = home / "project" / "covey.toml"
    toml.write_text('hosts = ["lab1"]\n')
    toml.chmod(0o666)
    with pytest.raises(InventoryError, match="everybody may write to it — mend it with: chmod o-w"):
        read(home)
    toml.chmod(0o644)
    assert names(read(home)) == ["lab1"]
    if os.geteuid() == 0:
        os.chown(toml, 12345, 12345)
        with pytest.raises(InventoryError, match="it belongs to another user"):
            read(home)


def test_each_key_of_the_bus_is_that_of_the_nearest_file_under_the_environment(home: Path):
    env = {"HOME": str(home)}
    assert settings_of_call(env=env).nats_url == ""
    users = home / ".config" / "covey" / "config.toml"
    users.write_text('[bus]\nurl = "nats://far:1"\nlisten = "tls://0.0.0.0:2"\n')
    (home / "project" / "covey.toml").write_text(
        '[bus]\nurl = "nats://near:1"\n[machines.x]\nslto = 1\n'
    )
    settings = settings_of_call(env=env)
    assert (settings.nats_url, settings.bus_listen) == ("nats://near:1", "tls://0.0.0.0:2")
    assert settings_of_call(env=env | {"COVEY_NATS_URL": "nats://e:1"}).nats_url == "nats://e:1"
    (home / "project" / "covey.toml").write_text("[bus]\nurl = 7\n")
    with pytest.raises(InventoryError, match=r"covey\.toml:2: url is an address"):
        settings_of_call(env=env)


def test_defaults_are_merged_key_by_key(home: Path):
    users = home / ".config" / "covey" / "config.toml"
    users.write_text('[defaults]\nslots = 1\nuser = "me"\n')
    (home / "project" / "covey.toml").write_text("[defaults]\nslots = 2\n")
    assert read_config({"HOME": str(home)}).defaults == {"slots": "2", "user": "me"}


def test_every_field_of_a_machine_is_a_field_of_host():
    told = {name for name in Host.__dataclass_fields__ if name not in ("name", "where")}
    assert {"labels" if key == "groups" else key for key in FIELDS} == told
