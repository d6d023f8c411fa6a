"""The zygote: a small single-threaded process that forks the slot children of an agent.

It is forked before the agent imports anything large or starts a thread, so its forks are quick and
sound (rule 14). It imports nothing of the user's, reaps every child, and tells the agent how each
one ended. It is a subreaper: what a dead child leaves behind comes here, whether or not it took a
session of its own, and is killed. When the agent's end of the control socket closes, whatever the
reason, everything below the zygote ends, and then the zygote.

Control messages, one per packet; descriptors ride along:

    agent -> zygote   F token  [socket, page]     fork a slot child
                      K pid signal                signal a child and its process group
                      Q grace                     end everything; SIGKILL after `grace` seconds
    zygote -> agent   P token pid                 forked (pid 0: it could not be, see D)
                      D pid status                ended; status as of waitpid
"""

import gc
import os
import select
import signal
import socket
import struct
import sys
import time
from array import array
from collections.abc import Callable
from contextlib import suppress

from covey.agent import proctree

FORK = struct.Struct("<cQ")
KILL = struct.Struct("<cqq")
QUIT = struct.Struct("<cd")
FORKED = struct.Struct("<cQq")
DIED = struct.Struct("<cqq")
PACKET_BYTES = 64

#: After EOF of the lifeline: from SIGTERM to SIGKILL.
ORPHAN_GRACE_S = 1.0
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_PDEATHSIG = 1


def fork_zygote() -> tuple[int, socket.socket]:
    """Forks the zygote off this process: its pid, and the agent's end of the control socket.

    Call it first of all: before threads, asyncio and large imports. Closing the socket, or the end
    of this process in any manner, ends the zygote and all below it.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid:
        theirs.close()
        return pid, ours
    status = 1
    try:
        ours.close()
        serve(theirs)
        status = 0
    finally:
        # Never back into the program that forked us.
        os._exit(status)


def serve(control: socket.socket) -> None:
    """Runs the zygote in this process until the agent is gone and everything below has ended."""
    with suppress(OSError):
        # No terminal: a task that asks for one is told so at once instead of being stopped.
        os.setsid()
    _close_others(control.fileno())
    _point_stdin_at_null()
    prctl = load_prctl()
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    # Imported here, not above: the agent must not wait for it. Children share it, unwritten.
    from covey.agent import child

    gc.collect()
    gc.freeze()
    _Zygote(control, child.main, prctl).run()


def load_prctl() -> Callable[[int, int], None]:
    """prctl(option, value); does nothing where there is none."""
    try:
        import ctypes

        call = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return lambda option, value: None

    def prctl(option: int, value: int) -> None:
        call(option, value, 0, 0, 0)

    return prctl


def _close_others(keep: int) -> None:
    # A lifeline of the agent, held here, would never break.
    for name in os.listdir("/dev/fd"):
        if (fd := int(name)) > 2 and fd != keep:
            with suppress(OSError):
                os.close(fd)


def _point_stdin_at_null() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    if null:
        os.close(null)


class _Zygote:
    def __init__(
        self,
        control: socket.socket,
        main: Callable[[int, int], None],
        prctl: Callable[[int, int], None],
    ) -> None:
        self._control = control
        self._main = main
        self._prctl = prctl
        self._children: set[int] = set()
        #: pid of what a dead child left -> when it is killed (monotonic seconds).
        self._strays: dict[int, float] = {}
        #: Monotonic seconds at which everything is killed; None = going on.
        self._kill_at: float | None = None
        self._wake_r, self._wake_w = os.pipe()
        os.set_blocking(self._wake_r, False)
        os.set_blocking(self._wake_w, False)

    def run(self) -> None:
        signal.set_wakeup_fd(self._wake_w, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _no_op)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda number, frame: self._end(ORPHAN_GRACE_S))
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake_r, select.POLLIN)
        is_open = True
        while is_open or self._children or self._strays:
            for fd, _ in poll.poll(self._wait_ms()):
                if fd == self._wake_r:
                    with suppress(BlockingIOError):
                        os.read(self._wake_r, 4096)
                elif not self._obey():
                    poll.unregister(self._control)
                    is_open = False
            self._reap()
            self._kill_late()
            if self._kill_at is not None and not (self._children or self._strays):
                return

    def _wait_ms(self) -> int | None:
        until = min(self._strays.values(), default=None)
        if self._kill_at is not None:
            until = self._kill_at if until is None else min(until, self._kill_at)
        return None if until is None else max(1, int((until - time.monotonic()) * 1000) + 1)

    def _obey(self) -> bool:
        """One packet; False when the agent is gone."""
        try:
            data, fds, _, _ = socket.recv_fds(self._control, PACKET_BYTES, 2)
        except OSError:
            data, fds = b"", []
        if not data:
            self._end(ORPHAN_GRACE_S)
            return False
        kind = data[:1]
        if kind == b"F":
            self._fork(FORK.unpack(data)[1], fds)
        elif kind == b"K":
            _, pid, number = KILL.unpack(data)
            # Ours and not yet reaped: the pid cannot be another's.
            if pid in self._children:
                _signal_group(pid, number)
        elif kind == b"Q":
            self._end(QUIT.unpack(data)[1])
        return True

    def _fork(self, token: int, fds: list[int]) -> None:
        try:
            pid = os.fork()
        except OSError:
            pid = 0
        else:
            if not pid:
                self._become_child(fds)
        for fd in fds:
            os.close(fd)
        if pid:
            self._children.add(pid)
        self._tell(FORKED.pack(b"P", token, pid))

    def _become_child(self, fds: list[int]) -> None:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.setpgid(0, 0)
            self._prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            self._prctl(_PR_SET_CHILD_SUBREAPER, 1)
            os.close(self._wake_r)
            os.close(self._wake_w)
            self._control.close()
            self._main(*fds)
            status = 0
        except BaseException as error:  # noqa: BLE001 - it must not run into the zygote's code
            sys.excepthook(type(error), error, error.__traceback__)
        finally:
            os._exit(status)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            if pid in self._children:
                self._children.discard(pid)
                self._tell(DIED.pack(b"D", pid, status))
            self._strays.pop(pid, None)
        self._adopt()

    def _adopt(self) -> None:
        """What became our child without being forked here was left by a dead one: it ends too."""
        for pid in proctree.children(os.getpid()):
            if pid not in self._children and pid not in self._strays:
                self._strays[pid] = time.monotonic() + proctree.TERM_GRACE_S
                proctree.signal_all([pid], signal.SIGTERM)

    def _kill_late(self) -> None:
        now = time.monotonic()
        if self._kill_at is not None and now >= self._kill_at:
            for pid in self._children:
                _signal_group(pid, signal.SIGKILL)
            proctree.signal_all(self._strays, signal.SIGKILL)
            self._kill_at = now + 0.1
        for pid, until in self._strays.items():
            if now >= until:
                proctree.signal_all([pid], signal.SIGKILL)
                self._strays[pid] = now + 0.1

    def _end(self, grace_s: float) -> None:
        if self._kill_at is None:
            self._kill_at = time.monotonic() + grace_s
            for pid in self._children:
                _signal_group(pid, signal.SIGTERM)

    def _tell(self, packet: bytes) -> None:
        # A dead agent is noticed by _obey; there is nobody to tell.
        with suppress(OSError):
            self._control.send(packet)


def _signal_group(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
    # Between fork and setpgid there is no group yet.
    proctree.signal_all([pid], number)


def _no_op(number: int, frame: object) -> None:
    """Only so that SIGCHLD is delivered, and the wake-up descriptor written."""


def send_fork(control: socket.socket, packet: bytes, fds: list[int]) -> None:
    """Sends a request to fork, with the child's socket and page. Raises OSError as `send` does."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", fds))]
    control.sendmsg([packet], rights)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
