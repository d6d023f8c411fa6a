"""Our own ssh connection to an always-on head: for far clients, and for machines that join it.

It is this process's alone, in a runtime directory that goes with it: the head keeps its own
connections to its machines, and two calls never end each other's.
"""

import contextlib
import os
import secrets
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from covey.agent import runtime
from covey.errors import InventoryError, UsageError
from covey.fleet.contact import Contact, log_in
from covey.fleet.formats_toml import Config
from covey.fleet.host import Host
from covey.fleet.inventory import read_inventory
from covey.fleet.ssh import Connection, Ssh, script, words
from covey.fleet.terminal import find_terminal

#: Exit status of a command line of ours where there is no head.
NO_HEAD = 66

_STATE = '"${{COVEY_HOME:-${{XDG_STATE_HOME:-$HOME/.local/state}}/covey}}/{cluster}"'
_FIND = (
    'd={state}; f="$d/command"; {or_reader}'
    '[ -r "$f" ] || {{ {otherwise}; exit {code}; }}; exec sh "$f" "$@"{end}'
)


def head_host(word: str) -> Host:
    """The machine that `[user@]host[:port]` names.

    Raises:
        UsageError: it names none, or several.
    """
    try:
        hosts = read_inventory((word,), (), env={}, config=Config()).hosts
    except InventoryError as error:
        raise UsageError(str(error)) from error
    if len(hosts) != 1:
        raise UsageError(f"{word!r} names {len(hosts)} machines; a head is one: user@host")
    return hosts[0]


def command_line(
    cluster: str,
    args: Sequence[str],
    *,
    is_piped: bool = False,
    is_quiet: bool = False,
    is_reader: bool = False,
) -> str:
    """The shell line that runs covey there, with these arguments, for its cluster.

    is_piped: its stderr comes on stdout, and so does what is wrong; else a sentence on stderr.
    is_quiet: that there is no cluster is said by the exit code alone (`NO_HEAD`).
    is_reader: it is run also after the cluster was taken down, to read the ledger.
    """
    told = f"covey: no cluster {cluster} is up here"
    tell = f"echo {words([told])}" + ("" if is_piped else " >&2")
    # A cluster's name is safe in a shell (`settings.NAME_PATTERN`).
    text = _FIND.format(
        state=_STATE.format(cluster=cluster),
        or_reader='[ -r "$f" ] || f="$d/reader"; ' if is_reader else "",
        otherwise=":" if is_quiet else tell,
        code=NO_HEAD,
        end=" 2>&1" if is_piped else "",
    )
    return words(["exec", "sh", "-c", text, "covey", *args])


def no_reader_line(cluster: str) -> str:
    """The shell line after which nobody reads the ledger there: covey itself is gone."""
    return script(f"rm -f {_STATE.format(cluster=cluster)}/reader")


class ToHead:
    """One connection to a head. Blocks; one thread at a time."""

    def __init__(self, word: str, environ: Mapping[str, str] | None = None) -> None:
        """word: `[user@]host[:port]`.

        Raises:
            UsageError: it names no machine.
        """
        self.host = head_host(word)
        environ = os.environ if environ is None else environ
        runtime.sweep(environ)
        owner = secrets.token_hex(16)
        self._runtime = runtime.create(owner, environ)
        #: Ours, 0700: sockets.
        self.directory: Path = self._runtime.path
        # Whatever is left of us after a crash is known by it, and ended by the next start.
        mine = {**environ, "COVEY_OWNER": owner}
        self._ssh = Ssh(self.directory / "s", mine)
        self.connection: Connection = self._ssh.connection(self.host)
        self._forwards = 0

    def log_in(self, *, accept_new: bool = False) -> None:
        """Connect for the first time: whoever sits at the terminal is asked what ssh asks.

        Raises:
            ConnectFailed: why not, and what to do.
        """
        person = find_terminal() if sys.stdin and not sys.stdin.closed else None
        if person is None:
            log_in(self.connection, None, accept_new=accept_new)
            return
        with Contact(self.directory / "ask", person=person) as contact:
            self._ssh.answers = contact
            try:
                log_in(self.connection, contact, accept_new=accept_new)
            finally:
                self._ssh.answers = None

    def log_in_again(self) -> None:
        """Connect anew after the connection was lost; nobody is asked.

        Raises:
            ConnectFailed: not yet.
        """
        self.connection.close()
        self.connection.open()

    def forward_bus(self, directory: Path, port: int, after: int = 0) -> None:
        """Carry the newest `bus-<n>.sock` in `directory` to a loopback port of the head.

        after: the highest n that was used there before.

        Raises:
            ConnectFailed: it is forbidden, or the connection was lost.
        """
        self._forwards = max(self._forwards, after) + 1
        self.connection.forward_from(directory / f"bus-{self._forwards}.sock", port)

    def close(self) -> None:
        """End the connection, and leave nothing."""
        self.connection.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        with contextlib.suppress(OSError):
            # The base of all of them, when this was the last.
            self.directory.parent.rmdir()
        with contextlib.suppress(OSError):
            self._runtime.release()
