"""Command lines of ssh: whose words they are, and that no name is ever an option or a command."""

import shlex
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import ConnectFailed
from covey.fleet.host import Host
from covey.fleet.master import MasterFiles, check_name, inner_options, login_options
from covey.fleet.ssh_command import public_key_file, script, ssh_command, words
from covey.testing.waiting import COMMAND_MAX_S

FILES = MasterFiles.of(Path("/run/covey/ssh"), Host("lab1", "lab1"))


def _options(config: dict[str, str], asking: dict[str, str] | None = None) -> list[str]:
    host = Host("lab1", "lab1", "pi", 2222)
    return login_options(FILES, host, config, asking=asking, accept_new=False)


def test_a_master_forwards_nothing_and_notices_silence():
    options = _options({})
    for wanted in (
        "ForwardAgent=no",
        "ForwardX11=no",
        "ClearAllForwardings=yes",
        "ExitOnForwardFailure=yes",
        "ServerAliveInterval=5",
        "ServerAliveCountMax=3",
        "BatchMode=yes",
    ):
        assert wanted in options


def test_the_address_stands_behind_the_end_of_options():
    assert _options({})[-6:] == ["-l", "pi", "-p", "2222", "--", "lab1"]


@pytest.mark.parametrize("said", ["false", "no", "off"])
@pytest.mark.parametrize("asking", [None, {"NumberOfPasswordPrompts": "1"}])
def test_a_host_key_is_never_skipped_whatever_the_configuration_says(
    said: str, asking: dict[str, str] | None
):
    assert "StrictHostKeyChecking=ask" in _options({"stricthostkeychecking": said}, asking)


def test_an_ssh_that_may_ask_is_told_what_and_any_other_is_silent():
    assert "BatchMode=yes" in _options({})
    asking = _options({}, {"PasswordAuthentication": "no"})
    assert "PasswordAuthentication=no" in asking
    assert "BatchMode=yes" not in asking


def test_a_configuration_that_takes_new_host_keys_or_none_is_left_alone():
    for said in ("accept-new", "true", "ask"):
        found = [o for o in _options({"stricthostkeychecking": said}) if "StrictHost" in o]
        assert found == []


def test_what_rides_in_the_master_cannot_connect_by_itself():
    assert {"ProxyCommand=false", "/dev/null", "BatchMode=yes"} <= set(inner_options(FILES))


def test_another_address_is_another_master():
    def path(host: Host) -> Path:
        return MasterFiles.of(Path("/run/x"), host).socket

    assert path(Host("lab1", "10.0.0.1")) != path(Host("lab1", "10.0.0.2"))
    assert path(Host("lab1", "h")) == path(Host("lab1", "h", slots="8", where="a:1"))


def test_a_control_directory_too_deep_for_sockets_is_said():
    with pytest.raises(ConnectFailed, match="longer than 90 bytes") as told:
        MasterFiles.of(Path("/" + "d" * 90), Host("lab1", "lab1"))
    assert "XDG_RUNTIME_DIR" in told.value.data["remedy"]


@pytest.mark.parametrize("name", ["-oProxyCommand=evil", "a b", "a\nb", "a\tb", "a\x1bb", "-"])
def test_a_name_that_could_be_read_as_more_is_refused(name: str):
    for host in (Host("lab1", name, where="hosts.txt:3"), Host("lab1", "lab1", user=name)):
        with pytest.raises(ConnectFailed) as told:
            check_name(host)
        assert told.value.data["kind"] == "bad-name"
    check_name(Host("lab1", "fe80::1%eth0", user="DOMAIN\\pi"))


def test_covey_ssh_command_is_split_as_a_shell_does_and_its_file_made_absolute():
    assert ssh_command({}) == ["ssh"]
    assert ssh_command({"COVEY_SSH_COMMAND": " "}) == ["ssh"]
    found = ssh_command({"COVEY_SSH_COMMAND": "ssh -F 'my file' -J jump"})
    assert found == ["ssh", "-F", str(Path("my file").absolute()), "-J", "jump"]
    with pytest.raises(ConnectFailed, match="COVEY_SSH_COMMAND"):
        ssh_command({"COVEY_SSH_COMMAND": "ssh 'open"})


def test_the_key_that_is_copied_is_the_first_that_is_there(tmp_path: Path):
    second = tmp_path / "b.pub"
    second.write_text("ssh-ed25519 AAAA")
    config = {"identityfile": f"{tmp_path}/a\n{tmp_path}/b"}
    assert public_key_file(config) == second
    assert public_key_file({"identityfile": f"{tmp_path}/a"}) is None


text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@given(st.lists(text, min_size=1, max_size=5))
def test_words_are_those_words_in_a_shell(argv: list[str]):
    assert shlex.split(words(argv)) == argv


def test_a_script_is_run_by_sh_whatever_is_in_it():
    nasty = "printf %s \"a 'b' $((1+1))\"; printf ' c;d\ne'"
    done = subprocess.run(
        ["sh", "-c", script(nasty)], capture_output=True, check=True, timeout=COMMAND_MAX_S
    )
    assert done.stdout == b"a 'b' 2 c;d\ne"
