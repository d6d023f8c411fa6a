"""Starts the agent of a machine over ssh: detached, in a session of its own, with a log.

    ssh ── start verb ─┬─ answers, and ends
                       └─ agent, which waits for its order ── zygote

Starting another Python, and importing again what this one has, costs as much as all the rest of a
start. So the verb forks the agent off itself: before it reads the order, so that no key is ever in
the memory of the zygote and the children with the user's code, and while it is small and has one
thread. An agent that is to run in another Python, or to carry another COVEY_OWNER, is a program
of its own.
"""

import contextlib
import gc
import importlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from covey.agent.__main__ import serve_detached

#: What ssh's daemon leaves in the environment; it ends with the connection.
SSH_PREFIX = "SSH_"


@dataclass(slots=True)
class Detached:
    """An agent that waits for its order, and how it is told and heard."""

    pid: int
    #: Takes the order, and brings the word that it lives.
    sock: socket.socket

    def hear(self, timeout_s: float) -> bytes:
        """Its first word, a line; b"" where it ended, or says nothing for so long."""
        self.sock.settimeout(timeout_s)
        with contextlib.suppress(OSError), self.sock.makefile("rb") as said:
            return said.readline()
        return b""

    def close(self) -> None:
        """Hear and say nothing more; without an order it ends."""
        self.sock.close()

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def order(self, line: bytes, lock_fd: int) -> None:
        """Give it its order, and the lock that it is to hold."""
        with contextlib.suppress(OSError):
            sent = socket.send_fds(self.sock, [line], [lock_fd])
            self.sock.sendall(line[sent:])


def fork(log: Path) -> Detached:
    """An agent that is a copy of this process. Where it gets no order, it ends.

    Raises:
        OSError: its log cannot be written, or there is no room for another process.
    """
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    ours, theirs = socket.socketpair()
    # What agent and zygote both need is imported once, and its memory stays shared: a collection
    # would write into each object.
    importlib.import_module("covey.agent.child")
    gc.freeze()
    try:
        pid = os.fork()
        if not pid:
            _become_agent(theirs, written)
    finally:
        os.close(written)
        theirs.close()
    return Detached(pid, ours)


def spawn(argv: Sequence[str], log: Path, owner: str) -> Detached:
    """An agent that is a program of its own: `argv`, with this COVEY_OWNER."""
    ours, theirs = socket.socketpair()
    with log.open("ab") as written, theirs:
        process = subprocess.Popen(
            [*argv, "--detached", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=written,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            env={**task_env(), "COVEY_OWNER": owner},
        )
    # It is never waited for: it is to outlive us.
    process.returncode = 0
    return Detached(process.pid, ours)


def task_env() -> dict[str, str]:
    """The environment of the agent and its tasks: the session's, without what ends with it."""
    return {name: value for name, value in os.environ.items() if not name.startswith(SSH_PREFIX)}


def _become_agent(sock: socket.socket, log: int) -> None:
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, null), (1, log), (2, log)):
            os.dup2(source, target)
        # What ssh gave us would keep the session open, what start-up files opened is not ours.
        for name in os.listdir("/dev/fd"):
            if (fd := int(name)) > 2 and fd != sock.fileno():
                with contextlib.suppress(OSError):
                    os.close(fd)
        for name in [name for name in os.environ if name.startswith(SSH_PREFIX)]:
            del os.environ[name]
        serve_detached(sock)
    except BaseException as error:  # noqa: BLE001 - it must not run into the code of the verb
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        # Never back into the program that forked us.
        os._exit(1)
