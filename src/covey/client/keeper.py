"""Keeps a machine that joined: its ssh connection to the head, its agent, and itself.

    this machine   agent ── unix socket ── ssh -L ──► the head's bus
                   keeper ─ pipe ────────── ssh ────► command --join-desk

The agent is started like one over ssh, from the same archive, by the same verbs. A lost connection
is made again, and tasks go on meanwhile. When the head takes the machine or the cluster down, all
of it ends here.
"""

import contextlib
import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from covey._version import VERSION
from covey.agent import record
from covey.agent.here import this_computer
from covey.agent.machine import ANSWER_MARK, Answer, MachineOrder, cache_of
from covey.bus.record import start_time, write_private
from covey.client import doorway
from covey.errors import BusUnavailable, ConnectFailed, CoveyError, NotUp, RequestTimeout
from covey.files.private import make_private
from covey.fleet import archive as archives
from covey.fleet import bootstrap
from covey.fleet.host import Host
from covey.fleet.probe import Probe, probe
from covey.fleet.ssh import Done
from covey.fleet.to_head import NO_HEAD, ToHead, command_line
from covey.settings import Settings
from covey.wire.messages import PROTOCOL

#: An answer of the desk, which connects to its head first.
ANSWER_MAX_S = 60.0
#: How often the agent is looked at.
LOOK_EVERY_S = 1.0
#: Connecting again: the first pause, doubled each time, and the longest.
AGAIN_MIN_S, AGAIN_MAX_S = 0.5, 30.0
#: More than this without a line end is no answer.
SAID_MAX_BYTES = 1 << 20
#: What a head that comes back mends.
_PASSING = (ConnectFailed, NotUp, BusUnavailable, RequestTimeout)


@dataclass(frozen=True, slots=True)
class JoinOrder:
    """What `covey join` was asked for."""

    #: `[user@]host[:port]` of the machine of the head.
    head: str
    cluster: str
    agent: str
    slots: str = ""


@dataclass(frozen=True, slots=True)
class Joined:
    """A keeper that runs here."""

    head: str
    cluster: str
    agent: str
    pid: int
    #: Its start time, which tells a reused pid apart.
    started: int

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return start_time(self.pid) == self.started


class Here:
    """This machine, as `fleet.bootstrap` wants a connection to one."""

    def __init__(self, name: str) -> None:
        self.host = Host(name, "localhost")

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float) -> Done:
        """Run a line of shell here."""
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            input=stdin,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)


def notes_dir(settings: Settings) -> Path:
    """Where keepers say who they are, and why they ended."""
    directory = settings.home / "joined"
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_private(directory)
    return directory


class _Leaving(Exception):
    """Somebody ended us."""


class _Left(Exception):
    """The head has no place for this machine."""


class Keeper:
    """One machine's place in a cluster. Runs in the main thread, which takes signals."""

    def __init__(self, settings: Settings, order: JoinOrder, tell: Callable[[str], None]) -> None:
        self._order = order
        self._tell: Callable[[str], None] | None = tell
        self._path = notes_dir(settings) / f"{order.cluster}.{order.agent}.json"
        self._here = Here(order.agent)
        self._cluster = order.cluster
        self._probe: Probe | None = None
        self._started: Answer | None = None
        self._desk: subprocess.Popen[bytes] | None = None
        self._rest = b""

    def run(self, *, is_alone: bool) -> None:
        """Join, and stay until the end.

        is_alone: nobody sits at the terminal.
        """
        signal.signal(signal.SIGTERM, _on_signal)
        signal.signal(signal.SIGINT, _on_signal)
        me = Joined(
            self._order.head,
            self._order.cluster,
            self._order.agent,
            os.getpid(),
            start_time(os.getpid()) or 0,
        )
        write_private(self._path, json.dumps(asdict(me)) + "\n")
        reach = ToHead(self._order.head)
        try:
            if is_alone:
                reach.connection.open()
            else:
                reach.log_in()
            self._stay(reach)
        except _Left as left:
            sys.stderr.write(f"covey: {left}: this machine has left\n")
        except _Leaving:
            self._say_goodbye()
        finally:
            # Nothing stops us from here on.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            if self._started is not None:
                with contextlib.suppress(CoveyError):
                    bootstrap.stop(self._here, self._cluster, self._order.agent)
            self._close_desk()
            reach.close()
            self._path.unlink(missing_ok=True)

    def _stay(self, reach: ToHead) -> None:
        pause_s = AGAIN_MIN_S
        while True:
            try:
                self._once(reach)
                pause_s = AGAIN_MIN_S
            except (*_PASSING, OSError, EOFError) as error:
                if self._tell is not None:
                    # Not joined yet: whoever waits hears it.
                    raise _for_whoever_waits(error, self._order.head) from error
                sys.stderr.write(f"covey: {error}\n")
            self._close_desk()
            self._wait(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, AGAIN_MAX_S)
            with contextlib.suppress(ConnectFailed):
                reach.log_in_again()

    def _once(self, reach: ToHead) -> None:
        """One connection, from its beginning to its end."""
        word = self._ask(reach)
        plain: dict[str, Any] = word["order"]
        plain["packages"] = tuple(plain["packages"])
        order = replace(MachineOrder(**plain), slots=self._order.slots, without_bus_s=0.0)
        answer = self._start(order)
        if port := int(word["port"]):
            reach.forward_bus(Path(answer.runtime_dir), port, after=answer.bus_number)
        self._send({"slots": answer.slots, "slots_from": answer.slots_from})
        if self._tell is not None:
            self._tell(f"joined {self._order.head} as {answer.agent}: {_slots(answer.slots)}")
            self._tell = None
        while True:
            word = self._hear(LOOK_EVERY_S)
            if word is not None and "left" in word:
                raise _Left(str(word["left"]))
            if not self._agent_lives():
                # Started again by the next round, as what it was is lost.
                return

    def _start(self, order: MachineOrder) -> Answer:
        self._cluster = order.cluster
        archive = archives.current()
        found = self._probe
        if found is None:
            found = self._probe = probe(self._here, order.cluster)
        answer = bootstrap.start(self._here, found, archive, order)
        found = self._probe = found.having(archive.name)
        if answer.state == "outdated":
            bootstrap.stop(self._here, order.cluster, order.agent)
            answer = bootstrap.start(self._here, found, archive, order)
        self._started = answer
        return answer

    def _agent_lives(self) -> bool:
        found = record.read(cache_of(self._cluster) / self._order.agent / record.NAME)
        return found is not None and found.is_alive

    def _say_goodbye(self) -> None:
        with contextlib.suppress(OSError, EOFError, _Left):
            self._send({"leave": True})
            self._hear(ANSWER_MAX_S)

    # ------------------------------------------------------------ the desk

    def _ask(self, reach: ToHead) -> dict[str, Any]:
        line = command_line(self._order.cluster, ["--join-desk"], is_piped=True)
        self._desk, self._rest = reach.connection.pipe(line), b""
        computer = f"{this_computer()} {Path.home()}"
        self._send(
            {
                "agent": self._order.agent,
                "computer": computer,
                "protocol": PROTOCOL,
                "version": VERSION,
            }
        )
        word = self._hear(ANSWER_MAX_S)
        if word is None:
            raise ConnectFailed(f"{self._order.head} does not answer", kind="timeout")
        if "left" in word:
            raise _Left(str(word["left"]))
        if "error" in word:
            raise doorway.error_from_plain(word["error"])
        return word

    def _send(self, word: dict[str, Any]) -> None:
        if self._desk is None or self._desk.stdin is None:
            raise EOFError
        self._desk.stdin.write(json.dumps(word).encode() + b"\n")
        self._desk.stdin.flush()

    def _hear(self, timeout_s: float) -> dict[str, Any] | None:
        """The next word of the desk; None: there was none in time.

        Raises:
            EOFError: the connection is lost.
        """
        if self._desk is None or self._desk.stdout is None:
            raise EOFError
        until = time.monotonic() + timeout_s
        while True:
            line, is_whole, rest = self._rest.partition(b"\n")
            if is_whole:
                self._rest = rest
                if line.startswith(ANSWER_MARK.encode()):
                    return json.loads(line.removeprefix(ANSWER_MARK.encode()))
                continue
            left_s = max(0.0, until - time.monotonic())
            if not select.select([self._desk.stdout], [], [], left_s)[0]:
                return None
            data = os.read(self._desk.stdout.fileno(), 65536)
            if not data or len(self._rest) > SAID_MAX_BYTES:
                raise self._ended()
            self._rest += data

    def _ended(self) -> Exception:
        """Why the desk is gone."""
        code = self._close_desk()
        if code != NO_HEAD:
            return EOFError("the connection to the head is lost")
        cluster, head = self._order.cluster, self._order.head
        if self._started is not None:
            return _Left(f"cluster {cluster} was taken down")
        return NotUp(f"cluster {cluster} is not up on {head}: start it there with: covey up")

    def _close_desk(self) -> int:
        desk, self._desk = self._desk, None
        if desk is None:
            return 0
        for pipe in (desk.stdin, desk.stdout):
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()
        try:
            return desk.wait(LOOK_EVERY_S)
        except subprocess.TimeoutExpired:
            desk.kill()
            return desk.wait()

    def _wait(self, seconds: float) -> None:
        """A pause that a signal ends."""
        select.select([], [], [], seconds)


def _for_whoever_waits(error: Exception, head: str) -> CoveyError:
    if isinstance(error, CoveyError):
        return error
    return ConnectFailed(f"{head}: {error}", machine=head, kind="closed")


def _on_signal(_number: int, _frame: FrameType | None) -> None:
    raise _Leaving


def _slots(count: int) -> str:
    return f"{count} slot{'' if count == 1 else 's'}"
