"""The person at the terminal, as `fleet.contact` asks them."""

import getpass
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from covey.fleet.contact import Contact

#: Whoever called us sits there.
TERMINAL = "/dev/tty"


class Terminal:
    """Asks on the terminal itself, whatever stdout and stderr are."""

    def line(self, question: str) -> str | None:
        """What they type."""
        try:
            # Twice: a terminal cannot be sought in, as one file for both would have to be.
            with open(TERMINAL, "w") as screen, open(TERMINAL) as keyboard:
                screen.write(question)
                screen.flush()
                return keyboard.readline().strip() or None
        except OSError:
            return None

    def secret(self, question: str) -> str | None:
        """What they type, not shown."""
        try:
            return getpass.getpass(question) or None
        except (EOFError, OSError):
            return None

    def show(self, text: str) -> None:
        """A line for them."""
        try:
            with open(TERMINAL, "w") as screen:
                screen.write(text + "\n")
        except OSError:
            sys.stderr.write(text + "\n")


def find_terminal() -> Terminal | None:
    """The terminal, if somebody sits at it."""
    if not sys.stdin.isatty():
        return None
    try:
        with open(TERMINAL):
            return Terminal()
    except OSError:
        return None


def read_password() -> str:
    """`--ask-password`: asked on the terminal; without one the first line of stdin."""
    question = "Password for the machines (used once, to copy your key there): "
    if (terminal := find_terminal()) is not None:
        return terminal.secret(question) or ""
    return sys.stdin.readline().rstrip("\n")


@contextmanager
def contact_at(directory: Path, *, asks_password: bool = False) -> Generator[Contact | None]:
    """Who answers ssh's questions: the person at the terminal, a password asked for now.

    directory: of control sockets. None inside: nobody does.
    """
    person = find_terminal()
    password = read_password() if asks_password else ""
    if person is None and not password:
        yield None
        return
    with Contact(directory, person=person, password=password) as contact:
        yield contact
