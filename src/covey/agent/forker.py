"""The agent's end of its zygote: asks for slot children, signals them, hears how they ended.

When the zygote itself is killed, its children die with it (PR_SET_PDEATHSIG). Then a fresh one is
started as a program, since an agent with an event loop cannot fork soundly any more; commands that
the dead children were running are found by their COVEY_OWNER and ended.
"""

import asyncio
import logging
import os
import select
import signal
import socket
import subprocess
import sys
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from covey.agent import proctree, zygote
from covey.agent.handle import Handle

log = logging.getLogger(__name__)

#: A packet that the zygote's full socket did not take is tried again after this time.
RETRY_S = 0.01
#: Zygotes in a row that died before they forked anything; then none is started again, and what
#: should run here is returned.
REVIVALS_MAX = 10
#: What SIGKILL has not ended by then hangs in the kernel: we go on without it.
KILL_MAX_S = 5.0

#: What a zygote of its own runs; it finds covey where we did.
_PROGRAM = """
import sys; sys.path[:] = {path!r}
import socket; from covey.agent import zygote
zygote.serve(socket.socket(fileno={fd}))
"""

#: on_died(handle, status): a child ended. status: as of waitpid; None = it could not be forked.
OnDied = Callable[[Handle, int | None], None]


def spawn_zygote() -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Starts a zygote as a program of its own (some 0.1 s): where `fork_zygote` comes too late."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    fd = theirs.fileno()
    program = _PROGRAM.format(path=sys.path, fd=fd)
    process = subprocess.Popen([sys.executable, "-c", program], pass_fds=[fd])
    theirs.close()
    return process, ours


class Forker:
    """Talks to the zygote. Never blocks: what its socket does not take is sent later."""

    def __init__(
        self, loop: AbstractEventLoop, sock: socket.socket, owner: str, on_died: OnDied
    ) -> None:
        self._loop = loop
        self._owner = owner
        self._on_died = on_died
        self._is_closing = False
        self._gone = asyncio.Event()
        self._revived: subprocess.Popen[bytes] | None = None
        self._revivals = 0
        self._sweeps: set[asyncio.Task[int]] = set()
        self._token = 0
        #: Children whose pid is not yet known, by the token of the request.
        self._forking: dict[int, Handle] = {}
        self._pids: dict[int, Handle] = {}
        self._unsent: deque[tuple[bytes, Handle | None]] = deque()
        self._sock = sock
        self._adopt(sock)

    @property
    def is_gone(self) -> bool:
        """There is no zygote, and there will be none."""
        return self._gone.is_set()

    def fork(self, handle: Handle) -> None:
        """Asks for the child of a handle. It can be given work at once."""
        self._token += 1
        if self._gone.is_set():
            self._loop.call_soon(self._on_died, handle, None)
            return
        self._forking[self._token] = handle
        self._tell(zygote.FORK.pack(b"F", self._token), handle)

    async def all_up(self) -> None:
        """Returns when every child that was asked for runs, or could not be forked."""
        await asyncio.gather(*[handle.is_up.wait() for handle in self._forking.values()])

    def signal(self, handle: Handle, number: int) -> None:
        """Signals a child and its process group, if it still lives."""
        if handle.pid:
            self._tell(zygote.KILL.pack(b"K", handle.pid, number), None)
        elif not handle.is_closed:
            self._loop.call_later(RETRY_S, self.signal, handle, number)

    async def close(self, grace_s: float) -> None:
        """Ends the zygote and all below it: SIGTERM, `grace_s`, SIGKILL."""
        self._is_closing = True
        with suppress(OSError):
            self._sock.send(zygote.QUIT.pack(b"Q", grace_s))
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_s + KILL_MAX_S):
                await self._gone.wait()
        self._loop.remove_reader(self._sock)
        self._sock.close()
        await asyncio.gather(*self._sweeps)
        if self._revived is not None:
            self._revived.wait(KILL_MAX_S)

    def _adopt(self, sock: socket.socket) -> None:
        self._sock = sock
        sock.setblocking(False)
        self._loop.add_reader(sock, self._on_readable)

    def _tell(self, packet: bytes, handle: Handle | None) -> None:
        """Sends a packet, with the descriptors of a child to be forked."""
        self._unsent.append((packet, handle))
        if len(self._unsent) == 1:
            self._send_all()

    def _send_all(self) -> None:
        while self._unsent:
            packet, handle = self._unsent[0]
            if handle is not None and handle.is_closed:
                self._unsent.popleft()
                continue
            try:
                if handle is None:
                    self._sock.send(packet)
                else:
                    zygote.send_fork(self._sock, packet, handle.child_fds())
            except BlockingIOError:
                self._loop.call_later(RETRY_S, self._send_all)
                return
            except OSError:
                # The zygote is dead: its reader sees it.
                return
            self._unsent.popleft()
            if handle is not None:
                handle.sent_fds()

    def _on_readable(self) -> None:
        while True:
            try:
                packet = self._sock.recv(zygote.PACKET_BYTES)
            except BlockingIOError:
                return
            except OSError:
                packet = b""
            if not packet:
                self._loop.remove_reader(self._sock)
                self._lost()
                return
            if packet[:1] == b"P":
                _, token, pid = zygote.FORKED.unpack(packet)
                self._forked(self._forking.pop(token), pid)
            else:
                _, pid, status = zygote.DIED.unpack(packet)
                if (handle := self._pids.pop(pid, None)) is not None:
                    self._on_died(handle, status)

    def _forked(self, handle: Handle, pid: int) -> None:
        handle.is_up.set()
        if pid:
            self._revivals = 0
            handle.pid = pid
            self._pids[pid] = handle
        else:
            self._on_died(handle, None)

    def _lost(self) -> None:
        """The zygote is gone. All its children die in this moment."""
        orphans = proctree.find_owned(self._owner)
        if self._is_closing or self._revivals >= REVIVALS_MAX:
            if not self._is_closing:
                log.error("zygotes die as soon as they start: this agent can run nothing more")
            self._gone.set()
        else:
            log.warning("the zygote died: its children end, and a new one is started")
            self._revivals += 1
            if self._revived is not None:
                self._revived.wait()
            self._sock.close()
            self._revived, sock = spawn_zygote()
            self._adopt(sock)
        if orphans:
            sweep = self._loop.create_task(asyncio.to_thread(proctree.end_all, orphans, 1.0))
            self._sweeps.add(sweep)
            sweep.add_done_callback(self._sweeps.discard)
        dead = {handle for _, handle in self._unsent if handle is not None}
        dead.update(self._forking.values(), self._pids.values())
        self._unsent.clear()
        self._forking.clear()
        self._pids.clear()
        for handle in dead:
            handle.is_up.set()
            handle.sent_fds()
            self._on_died(handle, signal.SIGKILL)


def reap(pid: int, timeout_s: float) -> bool:
    """Waits for the end of the zygote that `fork_zygote` gave; False when it still runs.

    Blocks: call it when the event loop has ended.
    """
    process = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(process, select.POLLIN)
        if not poll.poll(timeout_s * 1000):
            return False
        os.waitpid(pid, 0)
    finally:
        os.close(process)
    return True
