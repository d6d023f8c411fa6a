"""`covey up` and a machine that it has never met: on a real terminal, and without one."""

import os
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest
from tests.fleets import a_fleet
from tests.integration.fleet.on_terminal import OnTerminal

from covey.testing.cluster import Lab
from covey.testing.sshd import Fleet

#: Each brings machines up and down; half a minute on a starved machine.
pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


@pytest.fixture
def lab() -> Generator[Fleet]:
    with a_fleet(1) as machines:
        yield machines


@pytest.fixture
def covey(tmp_path: Path, lab: Fleet) -> Generator[Lab]:
    with Lab(tmp_path, {**lab.env, "SSH_AUTH_SOCK": "", "HOME": str(tmp_path)}) as here:
        yield here
        here("down", "--purge")


def test_up_shows_the_fingerprint_on_a_terminal_and_takes_a_yes(covey: Lab, lab: Fleet):
    lab["lab1"].forget_host_key()
    with closing(OnTerminal(covey, "up", "lab1")) as up:
        up.await_text("continue connecting")
        assert "lab1: ED25519 key fingerprint is SHA256:" in up.shown
        up.type("yes\n")
        assert up.end() == 0
        assert "lab1  " in up.shown.rpartition("✔")[2]
    assert lab["lab1"].host_key in lab.known_hosts.read_text()


def test_up_on_a_terminal_takes_a_no(covey: Lab, lab: Fleet):
    lab["lab1"].forget_host_key()
    with closing(OnTerminal(covey, "up", "lab1")) as up:
        up.await_text("continue connecting")
        up.type("no\n")
        assert up.end() == 1
        assert "host key is not known here" in up.shown


def test_up_without_a_terminal_says_how_and_does_it_when_told(covey: Lab, lab: Fleet):
    lab["lab1"].forget_host_key()
    done = covey("up", "lab1")
    assert done.returncode == 1
    assert "✗ lab1  ssh: host key is not known here" in done.stdout
    assert "--accept-new-host-keys" in done.stdout
    assert covey("up", "lab1", "--accept-new-host-keys").returncode == 0


def test_a_password_brings_up_all_machines_once_and_the_key_does_so_later(tmp_path: Path):
    with a_fleet(2, password="s3cret word") as lab:
        env = {**lab.env, "SSH_AUTH_SOCK": "", "HOME": str(tmp_path)}
        with Lab(tmp_path, env) as covey:
            refused = covey("up", "lab1")
            assert "covey up --ask-password lab1" in refused.stdout
            up = covey("up", "--ask-password", "lab1", "lab2", stdin=b"s3cret word\n")
            assert up.returncode == 0, up.stdout + up.stderr
            assert covey("down").returncode == 0
            again = covey("up", "lab1", "lab2")
            assert again.returncode == 0, again.stdout + again.stderr
            assert covey("down", "--purge").returncode == 0
            # The key is the user's now, not ours to take away.
            assert "home/.ssh/authorized_keys" in lab["lab1"].files()


def test_root_is_warned_of(covey: Lab, lab: Fleet):
    if os.geteuid() != 0:
        pytest.skip("machines of the test kit belong to whoever runs it, who is not root")
    up = covey("up", "lab1")
    assert up.returncode == 0, up.stdout + up.stderr
    assert "agents run as root on lab1" in up.stderr
