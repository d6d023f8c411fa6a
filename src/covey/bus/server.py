"""nats-server as a process of ours: start, wait for, reload, adopt, stop.

Imports neither asyncio nor nats, so that it can start while those are imported.

Two ways to live (protocol.md rules 31, 33):

    private   dies with the process that starts it (PR_SET_PDEATHSIG), in whatever way that dies
    session   in a session of its own, it outlives the head, and the next head adopts it

In both it inherits the locked descriptor of its directory: lock and server live equally long. (Two
servers start happily on one store, and all that the second acknowledges is lost; reliability.md
D3.)
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from covey.bus import lock
from covey.bus.config import ServerConfig, log_of
from covey.bus.record import BusRecord, is_running, start_time, write_private
from covey.errors import StartFailed

#: A start takes 6-20 ms; one that takes longer than this, on a busy machine too, has failed.
READY_MAX_S = 30.0
#: What holds the lock of a server and is none by then is killed: another one is started instead.
ADOPT_MAX_S = 5.0
#: Pause between looks for the ports file; doubled up to the second.
LOOK_MIN_S = 0.001
LOOK_MAX_S = 0.02
#: Between SIGTERM and SIGKILL. Without clients a stop takes some ms.
STOP_MAX_S = 2.0
#: Until the log says that a changed configuration is in force.
RELOAD_MAX_S = 10.0
#: So many lines of the log are shown when it does not start.
SHOWN_LINES = 5

_CONFIG, _STDERR = "nats-server.conf", "nats-server.err"
_PR_SET_PDEATHSIG = 1


class ServerProcess:
    """A running server.

    Attributes:
        pid: of the process.
        started: its start time (`covey.bus.record.start_time`).
        url: where it listens; empty until `wait_ready`.
        child: the process as our child; None for an adopted one.
    """

    def __init__(
        self, config: ServerConfig, pid: int, child: subprocess.Popen[bytes] | None, url: str = ""
    ) -> None:
        self.config = config
        self.pid = pid
        self.started = start_time(pid) or 0
        self.url = url
        self.child = child

    @classmethod
    def spawn(
        cls,
        binary: Path,
        config: ServerConfig,
        *,
        is_private: bool,
        environ: Mapping[str, str] | None = None,
    ) -> "ServerProcess":
        """Start a server in `config.directory` (made if need be, 0700) and return without waiting.

        Args:
            binary: see `covey.bus.binary.find_server`.
            config: what it is told.
            is_private: it dies with the calling *thread*: call from the main thread, while there is
                no other (the child is made by fork, as PDEATHSIG must be set in it before exec).
            environ: its whole environment; empty unless given.

        Raises:
            StateInUse: another server runs in this directory.
            StartFailed: the directory cannot be written, or the binary not be run.
        """
        directory = config.directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            held = lock.take(directory)
        except OSError as error:
            raise StartFailed(
                f"the bus cannot work in {directory}: {error.strerror}",
                what="bus",
                reason=str(error),
            ) from error
        try:
            for stale in directory.glob("*.ports"):
                stale.unlink()
            write_private(directory / _CONFIG, config.text())
            child = _popen(binary, directory, held, is_private=is_private, environ=environ)
        except (OSError, subprocess.SubprocessError) as error:
            raise StartFailed(
                f"nats-server did not start from {binary}: {error}", what="bus", reason=str(error)
            ) from error
        finally:
            os.close(held)
        return cls(config, child.pid, child)

    @classmethod
    def adopt(cls, config: ServerConfig, record: BusRecord) -> "ServerProcess | None":
        """The server that an earlier head left running, or None when it runs no more."""
        return cls(config, record.pid, None, record.url) if is_running(record) else None

    @classmethod
    def find(cls, config: ServerConfig, timeout_s: float = ADOPT_MAX_S) -> "ServerProcess | None":
        """The server that holds the lock of `config.directory`, when no record tells of it.

        Whoever started it may have died right after that: then it is still on its way to being a
        server, and waited for. What holds the lock and does not become one is killed. None: there
        is none. Blocks, where one is just starting or ending.
        """
        directory = config.directory
        until, pause_s = time.monotonic() + timeout_s, LOOK_MIN_S
        while lock.is_held(directory):
            for pid in lock.holders(directory):
                server = cls(config, pid, None)
                server.url = server._announced()
                if server.url:
                    return server
            if time.monotonic() > until + STOP_MAX_S:
                return None
            if time.monotonic() > until:
                lock.kill_holders(directory)
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LOOK_MAX_S)
        return None

    def is_configured_as(self, config: ServerConfig) -> bool:
        """Whether it was told the same users and certificates."""
        return self._told(config)[2] == config.text().partition("authorization")[2]

    def listens_as(self, config: ServerConfig) -> bool:
        """Whether it listens there, with or without TLS: only a new server can be told else."""
        told = _listening(self._told(config)[0])
        return told == _listening(config.text()) and config.port in (-1, self.port)

    def wait_ready(self, timeout_s: float = READY_MAX_S) -> str:
        """Wait until it takes connections; returns and keeps its url. Blocks for 6-20 ms.

        Raises:
            StartFailed: it ended, or was not ready in time (then it is stopped); with the end of
                its log.
        """
        until, pause_s = time.monotonic() + timeout_s, LOOK_MIN_S
        while not (url := self._announced()):
            if not self.is_alive:
                raise self._failed("it ended at once")
            if time.monotonic() > until:
                self.stop()
                raise self._failed(f"it was not ready after {timeout_s:g} s")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LOOK_MAX_S)
        self.url = url
        return url

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        if self.child is not None:
            return self.child.poll() is None
        return start_time(self.pid) == self.started

    @property
    def port(self) -> int:
        """Where it listens, once ready."""
        return int(self.url.rpartition(":")[2])

    def reload(self, config: ServerConfig) -> None:
        """Put another set of users in force; connections of users that stay as they were stay open.

        Raises:
            StartFailed: the server refused it, and goes on with what it had.
        """
        log = log_of(config.directory)
        seen = log.stat().st_size
        write_private(config.directory / _CONFIG, config.text())
        self._signal(signal.SIGHUP)
        until, pause_s = time.monotonic() + RELOAD_MAX_S, LOOK_MIN_S
        while True:
            with log.open("rb") as file:
                file.seek(seen)
                news = file.read()
            if b"Reloaded server configuration" in news:
                self.config = config
                return
            if b"ailed to reload" in news or time.monotonic() > until or not self.is_alive:
                raise self._failed("it did not take a changed configuration")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LOOK_MAX_S)

    def record(self, user: str, password_file: Path) -> BusRecord:
        """What the next head needs in order to adopt it."""
        return BusRecord(self.url, user, str(password_file), self.pid, self.started)

    def stop(self) -> None:
        """End it: SIGTERM, 2 s, SIGKILL. Its lock is free when this returns."""
        self._signal(signal.SIGTERM)
        if not self._has_ended(STOP_MAX_S):
            self._signal(signal.SIGKILL)
            self._has_ended(STOP_MAX_S)

    # ------------------------------------------------------------ inside

    def _told(self, config: ServerConfig) -> tuple[str, str, str]:
        try:
            return (config.directory / _CONFIG).read_text().partition("authorization")
        except OSError:
            return "", "", ""

    def _announced(self) -> str:
        # It begins with the name of the program, which may be another than ours.
        paths = list(self.config.directory.glob(f"*_{self.pid}.ports"))
        try:
            urls = json.loads(paths[0].read_text())["nats"]
        except (IndexError, OSError, ValueError, KeyError):  # not yet there, or not yet whole
            return ""
        return self.config.url(int(urls[0].rpartition(":")[2]))

    def _signal(self, number: signal.Signals) -> None:
        if self.child is not None:
            self.child.send_signal(number)
        elif self.is_alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _has_ended(self, timeout_s: float) -> bool:
        if self.child is not None:
            try:
                self.child.wait(timeout_s)
            except subprocess.TimeoutExpired:
                return False
            return True
        return _wait_for_stranger(self.pid, timeout_s, lambda: not self.is_alive)

    def _failed(self, what: str) -> StartFailed:
        directory = self.config.directory
        lines = _tail(directory / _STDERR) + _tail(log_of(directory))
        said = "; ".join(lines[-SHOWN_LINES:]) or "it said nothing"
        advice = "Give another with --nats-server PATH, or a bus that runs with COVEY_NATS_URL"
        return StartFailed(
            f"nats-server: {what} ({said}). {advice}", what="nats-server", reason=said
        )


def _listening(text: str) -> list[str]:
    """The lines of a configuration that say where it listens, without the port."""
    lines = [line for line in text.splitlines() if line.startswith(("host:", "allow_non_tls:"))]
    return [line.partition(", port")[0] for line in lines]


def _popen(
    binary: Path,
    directory: Path,
    held: int,
    *,
    is_private: bool,
    environ: Mapping[str, str] | None,
) -> subprocess.Popen[bytes]:
    with (directory / _STDERR).open("wb") as stderr:
        return subprocess.Popen(
            [str(binary), "-c", str(directory / _CONFIG)],
            stdin=subprocess.DEVNULL,
            stdout=stderr,
            stderr=stderr,
            env=dict(environ or {}),
            cwd=directory,
            pass_fds=(held,),
            # A session of its own in both cases: Ctrl-C at the terminal is for us, not for the bus.
            start_new_session=True,
            preexec_fn=_die_with_parent() if is_private else None,
        )


def _die_with_parent() -> Callable[[], None] | None:
    """What makes a forked child die with the thread that forked it; None where unknown.

    A fork while other threads run may deadlock on their locks, hence "from the only thread";
    between fork and exec the function below only makes two system calls through what was looked up
    before.
    """
    if sys.platform != "linux":
        return None  # the lifeline's end, and the agent's cleaning, must do
    import ctypes  # only a private start pays the 2 ms

    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def set_signal() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)

    return set_signal


def _wait_for_stranger(pid: int, timeout_s: float, is_gone: Callable[[], bool]) -> bool:
    """Wait for the end of a process that is not our child."""
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return is_gone()
    try:
        select.select([fd], [], [], timeout_s)
    finally:
        os.close(fd)
    return is_gone()


def _tail(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()[-SHOWN_LINES:]
    except OSError:
        return []
