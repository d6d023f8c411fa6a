"""The process of an agent: its lock, its bus server (in a private run), its loop, its end.

    client ──lifeline── root = agent (subreaper) ─┬─ nats-server (dies with us)
                                                  └─ zygote ─ slot child / runner ─ command group

At the end of the lifeline (its client died), at SIGTERM, or when drained: children stopped, the
runtime directory removed, exit. Without a lifeline the agent stays until SIGTERM or `down`.
"""

import contextlib
import ctypes
import importlib
import json
import logging
import os
import platform
import select
import signal
import socket
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

from covey._version import VERSION
from covey.agent import runtime
from covey.agent.order import ORDER_MAX_BYTES, ServerOrder, StartOrder, order_from_line
from covey.agent.record import forget
from covey.bus.config import ServerConfig, account_user, agent_user
from covey.bus.server import ServerProcess
from covey.errors import CoveyError, StartFailed

#: A private bus server that died is started again this often at most in a row.
SERVER_RESTARTS_MAX = 20

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36


def run(zygote_pid: int, zygote_socket: socket.socket) -> None:
    """Read the order, start what it names, serve until the end. Exits the process."""
    lifeline, line = _read_order(sys.argv[1:])
    # In a private run our standard error is the user's terminal, under a head it is a file.
    logging.basicConfig(
        format="covey: %(message)s" if lifeline else "%(asctime)s %(levelname)s %(message)s",
        level=logging.WARNING if lifeline else logging.INFO,
    )
    try:
        order = order_from_line(line)
    except (ValueError, TypeError, KeyError):
        # Whoever started us died before it told us what it had made for us.
        runtime.remove_inherited(os.environ.get("COVEY_OWNER", ""))
        if lifeline is not None:
            sys.exit(1)
        sys.exit("covey: an agent is started by covey, not by hand: covey up")
    _live(order, lifeline, zygote_pid, zygote_socket)


def run_detached(sock: socket.socket, zygote_pid: int, zygote_socket: socket.socket) -> None:
    """The same, with the order and its lock from a socket on which it is said that we live."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    if not select.select([sock], [], [], 0)[0]:
        # Whoever tells us has yet to hear from the head: by then all is there.
        importlib.import_module("covey.agent.life")
    line, fds = _receive(sock)
    try:
        given = order_from_line(line)
    except (ValueError, TypeError, KeyError):
        # There is nothing to be done (an agent runs already), or whoever began it died.
        runtime.remove_inherited(os.environ.get("COVEY_OWNER", ""))
        os._exit(0)
    os.chdir(given.workdir)
    order = replace(given, say_fd=sock.detach(), lock_fds=tuple(fds))
    _live(order, None, zygote_pid, zygote_socket)


def _live(
    order: StartOrder,
    lifeline: socket.socket | None,
    zygote_pid: int,
    zygote_socket: socket.socket,
) -> None:
    try:
        status = _Root(order, lifeline, zygote_pid, zygote_socket).run()
    except CoveyError as error:
        _say(lifeline, {"error": [type(error).__name__, str(error)]}, order.say_fd)
        if lifeline is None:
            sys.stderr.write(f"covey agent: {error}\n")
        status = 1
    except Exception:  # noqa: BLE001 - the top of a process
        traceback.print_exc()
        status = 1
    # Children of user code may have left anything registered in this process: nothing of it runs.
    sys.stdout.flush()
    os._exit(status)


def _receive(sock: socket.socket) -> tuple[bytes, list[int]]:
    line, fds, _, _ = socket.recv_fds(sock, ORDER_MAX_BYTES, 1)
    while line and not line.endswith(b"\n") and len(line) < ORDER_MAX_BYTES:
        piece = sock.recv(ORDER_MAX_BYTES)
        if not piece:
            break
        line += piece
    return line, fds


def _read_order(argv: list[str]) -> tuple[socket.socket | None, bytes]:
    if argv[:1] == ["--lifeline"] and len(argv) == 2:
        lifeline = socket.socket(fileno=int(argv[1]))
        lifeline.set_inheritable(False)
        line = b""
        while not line.endswith(b"\n") and len(line) < ORDER_MAX_BYTES:
            piece = lifeline.recv(ORDER_MAX_BYTES)
            if not piece:
                break
            line += piece
        return lifeline, line
    line = sys.stdin.buffer.readline(ORDER_MAX_BYTES)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return None, line


def _say(lifeline: socket.socket | None, word: dict[str, Any], fd: int) -> None:
    line = json.dumps(word).encode() + b"\n"
    # Whoever started us may have gone: then nobody is told.
    with contextlib.suppress(OSError):
        if lifeline is not None:
            lifeline.sendall(line)
        elif fd:
            # One word is all that is waited for.
            os.write(fd, line)
            os.close(fd)
        else:
            sys.stdout.buffer.write(line)
            sys.stdout.flush()


class _Root:
    def __init__(
        self,
        order: StartOrder,
        lifeline: socket.socket | None,
        zygote_pid: int,
        zygote_socket: socket.socket,
    ) -> None:
        self._order = order
        self._lifeline = lifeline
        self._zygote = (zygote_pid, zygote_socket)
        self._runtime_dir = Path(order.runtime_dir)
        self._server: ServerProcess | None = None
        self._restarts = 0

    def run(self) -> int:
        harden()
        os.environ["COVEY_OWNER"] = self._order.incarnation
        for fd in (*self._order.lock_fds, *filter(None, [self._order.say_fd])):
            os.set_inheritable(fd, False)
        try:
            if self._order.server is not None:
                self._spawn_server(self._order.server)
            if self._order.may_wait:
                _say(self._lifeline, {"ready": True}, self._order.say_fd)
            # Imported while the server starts, or the tunnel.
            from covey.agent.life import live

            url = self._server.wait_ready() if self._server is not None else ""
            return live(
                self._order,
                url=url,
                zygote=self._zygote,
                lifeline=self._lifeline,
                server_pid=self._server.pid if self._server is not None else 0,
                on_server_death=self._revive_server,
                say=lambda word: _say(self._lifeline, word, self._order.say_fd),
                facts=self._facts(),
            )
        finally:
            if self._server is not None:
                self._server.stop()
            runtime.remove(self._runtime_dir)
            if self._order.record:
                forget(Path(self._order.record), self._order.incarnation)
                with contextlib.suppress(OSError):
                    # The base of all runtime directories, when this was the last.
                    self._runtime_dir.parent.rmdir()

    def _spawn_server(self, server: ServerOrder) -> ServerProcess:
        order = self._order
        config = ServerConfig(
            cluster=order.cluster,
            directory=self._runtime_dir / "bus",
            users=(
                account_user(order.cluster, server.password),
                agent_user(order.cluster, order.agent, server.agent_password),
                *(agent_user(order.cluster, *guest) for guest in server.guests),
            ),
            port=server.port,
        )
        self._server = ServerProcess.spawn(Path(server.binary), config, is_private=True)
        return self._server

    def _revive_server(self) -> int:
        """The bus server died: start it again where everybody expects it. Returns its pid."""
        server, given = self._server, self._order.server
        assert server is not None
        assert given is not None
        self._restarts += 1
        if self._restarts > SERVER_RESTARTS_MAX:
            raise StartFailed("the bus server dies again and again; see its log")
        again = replace(given, port=server.port)
        revived = self._spawn_server(again)
        revived.wait_ready()
        return revived.pid

    def _facts(self) -> dict[str, Any]:
        order = self._order
        return {
            "hostname": platform.node(),
            "platform": f"{platform.system().lower()} {platform.machine()}",
            "python": platform.python_version(),
            "cpus": os.cpu_count() or 1,
            "slots_from": order.slots_from,
            "pid": os.getpid(),
            "version": VERSION,
            "directory": order.workdir,
        }


def harden() -> None:
    """Others of our account cannot read our memory; orphans of our children come to us."""
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
