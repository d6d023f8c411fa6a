"""The first contact: what ssh asks, who answers, and what becomes of a password."""

import os
import subprocess
import threading
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.fleets import a_fleet
from tests.integration.fleet.ways import RUN_MAX_S, control_dir, environ, kind_of

from covey.errors import ConnectFailed
from covey.fleet.contact import Contact, log_in, root_warning
from covey.fleet.host import Host
from covey.fleet.ssh import Connection, Ssh
from covey.testing.ending import join
from covey.testing.leaks import no_leaks
from covey.testing.sshd import Fleet
from covey.testing.waiting import COMMAND_MAX_S, wait_until

#: Several sshds start for each test: some seconds on a starved machine.
pytestmark = pytest.mark.timeout(180)


class Sitter:
    """A person who answers all questions alike, and remembers them."""

    def __init__(self, answer: str | None) -> None:
        self.answer = answer
        self.asked: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        #: Questions are answered when it is set.
        self.is_there = threading.Event()
        self.is_there.set()

    def line(self, question: str) -> str | None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.asked.append(question)
        self.is_there.wait(RUN_MAX_S)
        self.at_once -= 1
        return self.answer

    def secret(self, question: str) -> str | None:
        return self.line(question)

    def show(self, text: str) -> None:
        self.asked.append(text)


@pytest.fixture
def lab() -> Generator[Fleet]:
    with a_fleet(1) as machines:
        yield machines


@pytest.fixture
def three() -> Generator[Fleet]:
    with a_fleet(3) as machines:
        yield machines


@pytest.fixture
def directory() -> Generator[Path]:
    with control_dir() as path:
        yield path


def to(lab: Fleet, directory: Path, contact: Contact, name: str = "lab1") -> Connection:
    return Ssh(directory, environ(lab), answers=contact).connection(Host(name, name))


def refused(lab: Fleet, directory: Path, contact: Contact) -> ConnectFailed:
    """Why lab1 does not let us in."""
    with contact, pytest.raises(ConnectFailed) as told:
        log_in(to(lab, directory, contact), contact)
    return told.value


def fingerprint(lab: Fleet, name: str) -> str:
    key = lab[name].directory / "host_key.pub"
    done = subprocess.run(
        ["ssh-keygen", "-l", "-f", key],
        capture_output=True,
        text=True,
        check=True,
        timeout=COMMAND_MAX_S,
    )
    return done.stdout.split()[1]


# ---------------------------------------------------------------- host keys


def test_the_fingerprint_is_shown_with_the_machines_name_and_a_yes_is_kept(
    lab: Fleet, directory: Path
):
    lab["lab1"].forget_host_key()
    person = Sitter("yes")
    with Contact(directory, person=person) as contact:
        connection = to(lab, directory, contact)
        try:
            assert log_in(connection, contact) is False
        finally:
            connection.close()
    assert len(person.asked) == 1
    assert all(line.startswith("lab1: ") for line in person.asked[0].splitlines())
    assert fingerprint(lab, "lab1") in person.asked[0]
    assert lab["lab1"].host_key in lab.known_hosts.read_text()


@pytest.mark.parametrize("answer", ["no", None])
def test_a_no_and_a_refusal_to_answer_end_it(lab: Fleet, directory: Path, answer: str | None):
    lab["lab1"].forget_host_key()
    told = refused(lab, directory, Contact(directory, person=Sitter(answer)))
    assert kind_of(told) == "unknown-host-key"
    assert lab["lab1"].host_key not in lab.known_hosts.read_text()


def test_three_machines_ask_one_at_a_time_and_waiting_is_no_silence(three: Fleet, directory: Path):
    lab = three
    for name in lab.names:
        lab[name].forget_host_key()
    person = Sitter("yes")
    person.is_there.clear()
    with Contact(directory, person=person) as contact:
        ways = [to(lab, directory, contact, name) for name in lab.names]
        troubles: list[ConnectFailed] = []

        def begin(connection: Connection) -> None:
            try:
                log_in(connection, contact, timeout_s=5.0)
            except ConnectFailed as error:
                troubles.append(error)

        threads = [threading.Thread(target=begin, args=(one,)) for one in ways]
        for thread in threads:
            thread.start()
        # Longer than the limit of `log_in`, which counts only what ssh does itself.
        wait_until(
            lambda: all(contact.asked_s(name) > 6.0 for name in lab.names),
            describe=lambda: [contact.asked_s(name) for name in lab.names],
            timeout_s=RUN_MAX_S,
        )
        person.is_there.set()
        join(*threads)
        for one in ways:
            one.close()
    assert troubles == []
    assert person.most_at_once == 1
    assert len(person.asked) == 3


# ---------------------------------------------------------------- passwords


@pytest.fixture
def guarded() -> Generator[Fleet]:
    with a_fleet(1, password="s3cret word") as machines:
        yield machines


def test_a_password_is_given_once_and_the_key_used_from_then_on(guarded: Fleet, directory: Path):
    with Contact(directory, person=None, password="s3cret word") as contact:
        for name in guarded.names:
            connection = to(guarded, directory, contact, name)
            try:
                assert log_in(connection, contact) is True
            finally:
                connection.close()
    for name in guarded.names:
        kept = guarded[name].home / ".ssh" / "authorized_keys"
        assert kept.read_text() == guarded.key.with_suffix(".pub").read_text()
        assert kept.stat().st_mode & 0o077 == 0
        # The head comes later, with nobody to ask.
        again = Ssh(directory, environ(guarded)).connection(Host(name, name))
        again.open()
        again.close()


def test_the_password_is_in_no_argument_no_environment_and_no_file(guarded: Fleet, directory: Path):
    """Looked for while ssh has been started and asks for it."""
    seen: list[str] = []
    with Contact(directory, person=None, password="s3cret word") as contact:
        stop = threading.Event()
        watcher = threading.Thread(target=_look_for, args=(b"s3cret", directory, stop, seen))
        watcher.start()
        connection = to(guarded, directory, contact)
        try:
            log_in(connection, contact)
        finally:
            stop.set()
            join(watcher)
            connection.close()
    assert seen == []


def _look_for(secret: bytes, directory: Path, stop: threading.Event, seen: list[str]) -> None:
    own = str(os.getpid())
    while not stop.is_set():
        for pid in (name for name in os.listdir("/proc") if name.isdigit() and name != own):
            for what in ("cmdline", "environ"):
                try:
                    if secret in Path(f"/proc/{pid}/{what}").read_bytes():
                        seen.append(f"{what} of {pid}")
                except OSError:
                    continue
        # What ssh-copy-id writes is gone again at any moment: os.walk and `continue` bear that.
        for path in (Path(at, name) for at, _, names in os.walk(directory) for name in names):
            try:
                if path.is_file() and secret in path.read_bytes():
                    seen.append(str(path))
            except OSError:
                continue


def test_a_wrong_password_is_said_and_given_once_only(guarded: Fleet, directory: Path):
    told = refused(guarded, directory, Contact(directory, person=None, password="guess"))
    assert "the password is not accepted" in str(told)
    assert "USER@MACHINE" in told.data["remedy"]
    tries = [line for line in guarded["lab1"].log().splitlines() if "Failed password" in line]
    assert len(tries) == 1, tries


def test_without_a_key_to_copy_the_remedy_makes_one(guarded: Fleet, directory: Path):
    guarded.key.with_suffix(".pub").unlink()
    told = refused(guarded, directory, Contact(directory, person=None, password="s3cret word"))
    assert kind_of(told) == "no-key"
    assert "ssh-keygen -t ed25519" in told.data["remedy"]


def test_without_ask_password_nobody_is_asked_for_one(guarded: Fleet, directory: Path):
    person = Sitter("s3cret word")
    told = refused(guarded, directory, Contact(directory, person=person))
    assert "covey up --ask-password lab1" in str(told)
    assert person.asked == []


# ---------------------------------------------------------------- passphrases


def test_a_passphrase_is_asked_for_once_for_all_machines(three: Fleet, directory: Path):
    lab = three
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", lab.key],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=COMMAND_MAX_S,
    )
    person = Sitter("open sesame")
    with Contact(directory, person=person) as contact:
        for name in lab.names:
            connection = to(lab, directory, contact, name)
            log_in(connection, contact)
            connection.close()
    assert len(person.asked) == 1
    assert "passphrase" in person.asked[0]


def test_a_locked_key_without_anybody_to_ask_waits_for_covey_up(lab: Fleet, directory: Path):
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", lab.key],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=COMMAND_MAX_S,
    )
    with pytest.raises(ConnectFailed) as told:
        Ssh(directory, environ(lab)).connection(Host("lab1", "lab1")).open()
    assert kind_of(told.value) == "needs-key"
    assert "passphrase" in told.value.data["reason"]


# ---------------------------------------------------------------- the rest


def test_a_contact_leaves_no_thread_descriptor_or_file(lab: Fleet, directory: Path):
    with no_leaks(), Contact(directory, person=Sitter("yes")) as contact:
        connection = to(lab, directory, contact)
        log_in(connection, contact)
        connection.close()
    assert [path.suffix for path in directory.iterdir()] == [".lock"]


def test_nobody_else_can_ask_the_contact(directory: Path):
    with Contact(directory, person=None, password="s3cret word"):
        assert directory.stat().st_mode & 0o777 == 0o700


def test_root_is_warned_of_by_name_as_long_as_they_are_few():
    assert root_warning([]) == ""
    assert "lab1, lab2" in root_warning(["lab1", "lab2"])
    assert "9 machines" in root_warning([f"lab{n}" for n in range(9)])
