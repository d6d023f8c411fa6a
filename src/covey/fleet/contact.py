"""The first contact with a machine: a host key that nobody has seen, a password, a passphrase.

ssh logs in without a terminal (its master outlives ours), so its questions come to us: SSH_ASKPASS
is a small program that hands them to a unix socket of this process. Several machines ask at once;
the person sees one question at a time, with the machine's name before it. A password is never in an
argument, a variable or a file.
"""

import json
import os
import re
import shlex
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from covey.errors import ConnectFailed
from covey.files.private import make_private
from covey.fleet.ssh import OPEN_MAX_S, Connection
from covey.fleet.ssh_errors import Trouble, failed

#: A question is no longer; what comes behind is not shown.
QUESTION_MAX_BYTES = 16 * 1024
#: Questions that wait for their turn; a machine asks one at a time.
QUEUE_MAX = 1024
#: More machines than this are counted, not named.
NAMES_MAX = 4

_WRONG_PASSWORD = Trouble(
    "denied",
    "the password is not accepted",
    "check it, and the user's name: covey up --ask-password USER@MACHINE",
)
_KEY_REFUSED = Trouble(
    "denied",
    "your key was copied there, but its sshd does not take it",
    "run there: chmod go-w ~ && chmod 700 ~/.ssh && chmod 600 ~/.ssh/authorized_keys",
)

#: What ssh runs to ask. No answer = exit code 1 = the question is refused.
_PROGRAM = """import json,os,socket,sys
s=socket.socket(socket.AF_UNIX)
s.connect(os.environ["COVEY_ASK_SOCKET"])
q=[os.environ["COVEY_ASK_MACHINE"]," ".join(sys.argv[1:]),os.environ.get("SSH_ASKPASS_PROMPT","")]
s.sendall(json.dumps(q).encode()+b"\\n")
a=s.makefile("rb").read()
if not a: sys.exit(1)
sys.stdout.buffer.write(a)
"""


class Person(Protocol):
    """Whoever sits at the terminal. None = they refuse."""

    def line(self, question: str) -> str | None:
        """What they type, shown as they type."""
        ...

    def secret(self, question: str) -> str | None:
        """What they type, not shown."""
        ...

    def show(self, text: str) -> None:
        """Tell them something."""
        ...


class Contact:
    """Answers the questions of ssh (`ssh.Answers`): by a password given once, and by a person."""

    def __init__(self, directory: Path, *, person: Person | None, password: str = "") -> None:
        """directory: is made, 0700, and short (a socket lies in it); `close` empties it."""
        self._person = person
        self._password = password
        self._turn = threading.Lock()
        self._lock = threading.Lock()
        #: Machines that were given the password.
        self._given: set[str] = set()
        #: Passphrases of keys, by the question; asked for once, used for all machines.
        self._passphrases: dict[str, str] = {}
        self._waited_s: dict[str, float] = {}
        self._since: dict[str, float] = {}
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private(directory)
        self._program = directory / f"ask-{os.getpid()}"
        self._path = directory / f"ask-{os.getpid()}.s"
        for old in (self._program, self._path):
            old.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self._path))
        self._socket.listen(QUEUE_MAX)
        python = shlex.quote(sys.executable)
        self._program.write_text(
            f'#!/bin/sh\nexec {python} -I -S -c {shlex.quote(_PROGRAM)} "$@"\n'
        )
        self._program.chmod(0o700)
        threading.Thread(target=self._serve, name="covey-contact", daemon=True).start()

    def __enter__(self) -> "Contact":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """No more answers."""
        # Closing alone would not wake the thread that waits in accept.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._path.unlink(missing_ok=True)
        self._program.unlink(missing_ok=True)
        self._passphrases.clear()
        self._password = ""

    def environ(self, machine: str) -> Mapping[str, str]:
        """Makes ssh ask us. DISPLAY: before OpenSSH 8.4 nothing else does."""
        return {
            "SSH_ASKPASS": str(self._program),
            "SSH_ASKPASS_REQUIRE": "force",
            "DISPLAY": ":0",
            "COVEY_ASK_SOCKET": str(self._path),
            "COVEY_ASK_MACHINE": machine,
        }

    def options(self) -> Mapping[str, str]:
        """A password is given once: ssh would try twice more, with none (and be banned for it)."""
        if self._password:
            return {"NumberOfPasswordPrompts": "1"}
        return {"PasswordAuthentication": "no"}

    def asked_s(self, machine: str) -> float:
        """How long its questions have waited for the person."""
        with self._lock:
            since = self._since.get(machine)
            now_s = 0.0 if since is None else time.monotonic() - since
            return self._waited_s.get(machine, 0.0) + now_s

    def gave_password(self, machine: str) -> bool:
        """Whether the machine was given the password."""
        return machine in self._given

    # ------------------------------------------------------------ inside

    def _serve(self) -> None:
        while True:
            try:
                link, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(link,), daemon=True).start()

    def _answer(self, link: socket.socket) -> None:
        with link, suppress(OSError, ValueError):
            asked = link.makefile("rb").readline(QUESTION_MAX_BYTES)
            machine, question, kind = json.loads(asked)
            if kind == "none":
                # A touch of a security key: shown until ssh has what it waits for.
                if self._person:
                    self._person.show(_prefixed(machine, question))
                link.recv(1)
                return
            if (answer := self._answer_to(machine, question)) is not None:
                link.sendall(answer.encode() + b"\n")

    def _answer_to(self, machine: str, question: str) -> str | None:
        what = kind_of(question)
        if what == "password":
            # Asked again: it was wrong, and would be wrong again.
            if not self._password or machine in self._given:
                return None
            self._given.add(machine)
            return self._password
        if self._person is None:
            return None
        with self._lock:
            self._since[machine] = time.monotonic()
        try:
            with self._turn:
                return self._ask(self._person, machine, question, what)
        finally:
            with self._lock:
                self._waited_s[machine] = self._waited_s.get(machine, 0.0) + (
                    time.monotonic() - self._since.pop(machine)
                )

    def _ask(self, person: Person, machine: str, question: str, what: str) -> str | None:
        shown = _prefixed(machine, question)
        if what == "host-key":
            return person.line(shown)
        if what == "passphrase" and question in self._passphrases:
            return self._passphrases[question]
        answer = person.secret(shown)
        if what == "passphrase" and answer:
            self._passphrases[question] = answer
        return answer


def kind_of(question: str) -> str:
    """What ssh asks: `host-key`, `passphrase`, `password`, `other`."""
    if re.search(r"continue connecting|type 'yes', 'no'", question):
        return "host-key"
    if re.search(r"passphrase", question, re.IGNORECASE):
        return "passphrase"
    if re.search(r"password", question, re.IGNORECASE):
        return "password"
    return "other"


def log_in(
    connection: Connection,
    contact: Contact | None,
    *,
    accept_new: bool = False,
    timeout_s: float = OPEN_MAX_S,
) -> bool:
    """Open the connection to a machine, for the first time perhaps.

    If only the password got us in, our key is copied there and used from then on: the head comes
    again with nobody to ask. Returns whether that was done.

    Raises:
        ConnectFailed: why not, and what to do.
    """
    name = connection.host.name
    try:
        connection.open(
            is_interactive=contact is not None, accept_new=accept_new, timeout_s=timeout_s
        )
    except ConnectFailed as error:
        if contact and contact.gave_password(name) and error.data["kind"] == "denied":
            raise failed(connection.host, _WRONG_PASSWORD) from error
        raise
    if contact is None or not contact.gave_password(name):
        return False
    try:
        connection.copy_key()
    finally:
        connection.close()
    try:
        connection.open(timeout_s=timeout_s)
    except ConnectFailed as error:
        if error.data["kind"] not in ("denied", "needs-key"):
            raise
        raise failed(connection.host, _KEY_REFUSED) from error
    return True


def root_warning(machines: Sequence[str]) -> str:
    """What is said when agents run as root on some machines; "" for none."""
    if not machines:
        return ""
    few = len(machines) <= NAMES_MAX
    where = ", ".join(machines) if few else f"{len(machines)} machines"
    return f"agents run as root on {where}, and so do tasks: a user of its own is safer (USER@…)"


def _prefixed(machine: str, question: str) -> str:
    lines = question.rstrip().splitlines() or [""]
    plain = ("".join(c if c.isprintable() else "?" for c in line) for line in lines)
    return "\n".join(f"{machine}: {line}" for line in plain) + " "
