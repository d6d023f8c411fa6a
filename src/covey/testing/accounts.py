"""Real accounts of this computer, for machines that are not to share one (root only)."""

import fcntl
import os
import secrets
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from covey.testing.programs import Unavailable, find_program

#: Tests that run at once take turns: the tools refuse while another one holds the password file.
_LOCK = Path("/tmp/covey-test-accounts.lock")
#: One change of the account files takes no longer.
_CHANGE_MAX_S = 60.0


def add_user(home: Path) -> str:
    """A new account whose home is `home` (which becomes its own); its name.

    Raises:
        Unavailable: we are not root.
    """
    if os.geteuid() != 0:
        raise Unavailable("accounts of their own need root")
    name = f"cv{secrets.token_hex(4)}"
    # `*`: no password fits, but the account is not locked (sshd lets nobody into a locked one).
    _change("useradd", "-M", "-d", str(home), "-s", "/bin/bash", "-p", "*", name)
    shutil.chown(home, name, name)
    return name


def set_password(name: str, password: str) -> None:
    """Let it log in with a password."""
    _change("chpasswd", stdin=f"{name}:{password}\n")


def remove_user(name: str) -> None:
    """Remove it; its home stays."""
    _change("userdel", "-f", name)


def _change(program: str, *argv: str, stdin: str = "") -> None:
    with _turn():
        done = subprocess.run(
            [find_program(program), *argv],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=_CHANGE_MAX_S,
            check=False,
        )
    assert done.returncode == 0, f"{program}: {done.stderr}"


@contextmanager
def _turn() -> Generator[None]:
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
