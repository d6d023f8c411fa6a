"""Runs commands in a slot child, one at a time (rules 14 and 15).

A command gets a process group of its own; whatever leaves the group, by a session of its own or
by forking twice, comes back here, since the child is a subreaper. After the command has ended
there must be no process left below us. What is left gets a moment (`LINGER_S`: the tail of a
pipe, a process substitution), then SIGTERM, `TERM_GRACE_S`, SIGKILL. So a task cannot leave
anything running on purpose either: start such things outside covey.

While a command runs we sleep in sigtimedwait(2): the end of a child, a word of the agent (a strike,
or its death), and the time limit wake us. poll(2) costs three system calls and a handler more.
"""

import fcntl
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from resource import struct_rusage

from covey.agent import proctree
from covey.agent.capture import Capture
from covey.agent.errand import gather, lay_out
from covey.agent.frames import HEAD, STRIKES_AT, Work
from covey.agent.outbox import FLUSH_S, Outbox, raise_fd
from covey.agent.outputs import Notes
from covey.agent.proctree import TERM_GRACE_S
from covey.agent.spawning import NOT_RUNNABLE, CannotStart, Spawner
from covey.errors import DecodeError
from covey.model.context import CommandContext, decode_command
from covey.model.errand import Errand, encode_gathered
from covey.model.report import Report, encode_report
from covey.model.task import OutcomeState
from covey.model.template import Template

#: What a command leaves running may end by itself for so long before it is asked to.
LINGER_S = 0.1
#: How often the files of a running command are looked at, to free what is over the limit.
TRIM_EVERY_S = 0.25
#: Processes that SIGKILL has not ended by then hang in the kernel: the slot goes on without them.
SWEEP_MAX_S = 5.0
#: A longer item is not put into COVEY_ITEM: the kernel refuses one variable over 128 KiB.
ITEM_MAX_BYTES = 64 * 1024
#: Below the working directory of a machine of its own: directories of tasks.
_TASKS = "covey"
#: Directories of tasks of the same job number, task and attempt.
_SAME_NAMES_MAX = 1000
#: What ends our sleep: a child ended; the agent said something, or died.
_WAKES = (signal.SIGCHLD, signal.SIGIO)
#: What helps where a directory cannot be entered; it may be missing on one machine only.
_ENTERABLE = "make it on every machine, or name another with --wd"
_SUCCEEDED = int(OutcomeState.SUCCEEDED)
_FAILED = int(OutcomeState.FAILED)
_TIMED_OUT = int(OutcomeState.TIMED_OUT)
_CANCELLED = int(OutcomeState.CANCELLED)


@dataclass(slots=True)
class _Ready:
    """A context, ready to be run."""

    template: Template
    spawner: Spawner
    cwd: str
    env: dict[bytes, bytes]
    #: What is run instead of the template.
    errand: Errand | None = None


class Runner:
    """Runs the commands of a slot."""

    def __init__(self, sock: socket.socket, outbox: Outbox) -> None:
        self._sock = sock
        self._outbox = outbox
        self._page = outbox.page
        self._capture: Capture | None = None
        self._null = raise_fd(os.open(os.devnull, os.O_RDONLY))
        # Blocked, they wait until they are waited for: there is no moment in which the end of a
        # child, or a word of the agent, could be missed.
        signal.pthread_sigmask(signal.SIG_BLOCK, _WAKES)
        fcntl.fcntl(sock, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(sock, fcntl.F_SETFL, fcntl.fcntl(sock, fcntl.F_GETFL) | os.O_ASYNC)
        self._is_orphan = False
        self._rusage: struct_rusage | None = None
        #: Where we are, as far as we know.
        self._place: str | None = None
        self._notes: Notes | None = None

    def prepare(self, context: CommandContext) -> Callable[[Work], None]:
        """Reads the template of a context: what runs its chunks."""
        env = {os.fsencode(name): os.fsencode(value) for name, value in context.env.items()}
        template = Template.from_wire(context.template)
        ready = _Ready(template, Spawner(os.fsencode(context.shell), self._null), context.cwd, env)
        return lambda work: self._run(ready, work)

    def prepare_errand(self, errand: Errand) -> Callable[[Work], None]:
        """What runs the task of an errand."""
        template = Template.parse(b"", append=False)
        ready = _Ready(template, Spawner(b"/bin/sh", self._null), "", {}, errand)
        return lambda work: self._run(ready, work)

    def _run(self, ready: _Ready, work: Work) -> None:
        if self._capture is None:
            self._capture = Capture(work.capture_dir)
            self._capture.announce(self._page)
        if self._notes is None:
            self._notes = Notes(work.cache_dir)
        env = ready.env | {os.fsencode(k): os.fsencode(v) for k, v in work.env.items()}
        env[b"COVEY_SLOT"] = env[b"PARALLEL_JOBSLOT"] = b"%d" % work.slot
        self._place = None
        for number in range(1, len(work.ids) + 1):
            strike = self._outbox.mark(number, time.monotonic())
            if strike:
                self._outbox.add(strike, b"")
                continue
            report = Report(started=time.time(), slot=work.slot)
            try:
                state = self._task(ready, work, number, env, report)
            except CannotStart as trouble:
                report.exit, report.err, state = trouble.exit, trouble.text, _FAILED
                report.err_size = len(trouble.text)
            report.ended = time.time()
            self._outbox.add(state, encode_report(report))
            if self._is_orphan:
                return

    def _task(
        self, ready: _Ready, work: Work, number: int, env: dict[bytes, bytes], report: Report
    ) -> int:
        """Makes the command of one task and runs it; returns its state."""
        index = number - 1
        try:
            args, stdin = decode_command(work.payloads[index])
        except DecodeError as error:
            raise CannotStart(NOT_RUNNABLE, str(error)) from error
        task = work.ids[index]
        env[b"COVEY_TASK_ID"] = b"%d" % task
        if ready.errand is not None:
            return self._errand(ready, ready.errand, work, number, env, report)
        rendered = ready.template.render(args, seq=task, slot=work.slot)
        # Not the same where a task kept its number of an earlier run (--resume).
        env[b"PARALLEL_SEQ"] = b"%d" % rendered.seq
        env[b"COVEY_ATTEMPT"] = b"%d" % work.ns[index]
        env.pop(b"COVEY_ITEM", None)
        if ready.template.numbered:
            args = list(ready.template.unnumbered(args)[0])
        if (item := b" ".join(args)) and len(item) <= ITEM_MAX_BYTES and b"\0" not in item:
            env[b"COVEY_ITEM"] = item
        argv = rendered.argv or [ready.spawner.shell, b"-c", rendered.script or b""]
        if ready.cwd:
            self._enter(ready.cwd)
            return self._command(ready, work, number, argv, env, stdin, report)
        notes = self._notes or Notes("")
        place = _own_directory(work, index, notes)
        try:
            self._enter(place)
            return self._command(ready, work, number, argv, env, stdin, report)
        finally:
            self._place = None
            _leave_empty(place)
            notes.settle()

    def _errand(
        self,
        ready: _Ready,
        errand: Errand,
        work: Work,
        number: int,
        env: dict[bytes, bytes],
        report: Report,
    ) -> int:
        """Lays an errand out, runs it, and gathers what it wrote."""
        scripts = work.cache_dir or work.workdir
        notes = self._notes or Notes("")
        laid = lay_out(errand, work.workdir, scripts, ready.spawner.shell, notes)
        self._enter(laid.cwd)
        try:
            return self._command(ready, work, number, laid.argv, laid.env | env, None, report)
        finally:
            report.value = encode_gathered(gather(laid))
            notes.settle()

    def _enter(self, directory: str) -> None:
        if directory == self._place:
            return
        self._place = None
        try:
            os.chdir(directory)
        except OSError as error:
            text = f"cannot enter the directory {directory}: {error.strerror} — {_ENTERABLE}"
            raise CannotStart(NOT_RUNNABLE, text) from error
        self._place = directory

    def _command(
        self,
        ready: _Ready,
        work: Work,
        number: int,
        argv: list[bytes],
        env: dict[bytes, bytes],
        stdin: bytes | None,
        report: Report,
    ) -> int:
        """Runs one command to its end, and to the end of all that it started. Returns its state."""
        capture = self._capture
        assert capture is not None
        began = time.monotonic()
        pid = ready.spawner.spawn(argv, env, stdin, capture)
        status, verdict = self._wait(pid, work, number, began)
        code = os.waitstatus_to_exitcode(status)
        report.exit, report.signal = max(code, 0), max(-code, 0)
        if (usage := self._rusage) is not None:
            report.cpu_s = usage.ru_utime + usage.ru_stime
            report.rss_bytes = usage.ru_maxrss * 1024
        is_clean = self._is_clean()
        if not is_clean:
            self._sweep(LINGER_S if verdict is None else 0.0)
        capture.take(report, work.output_max_bytes)
        if not is_clean:
            capture.replace()
            capture.announce(self._page)
        if verdict is not None:
            return verdict
        return _FAILED if code else _SUCCEEDED

    def _wait(self, pid: int, work: Work, number: int, began: float) -> tuple[int, int | None]:
        """(wait status, the state it is ended with or None when it ended by itself)."""
        limit_at = began + work.time_limit_s if work.time_limit_s else float("inf")
        trim_at = began + TRIM_EVERY_S
        kill_at = float("inf")
        verdict: int | None = None
        now = began
        while True:
            # Asleep first: hardly any command has ended by now.
            until = min(trim_at, kill_at if verdict is not None else limit_at)
            self._sleep(until - now)
            if (status := self._reap(pid)) is not None:
                break
            now = time.monotonic()
            if verdict is None:
                verdict = self._verdict(number, now >= limit_at)
                if verdict is not None:
                    _signal_tree(pid, signal.SIGTERM)
                    kill_at = now + TERM_GRACE_S
            elif now >= kill_at:
                _signal_tree(pid, signal.SIGKILL)
                kill_at = now + TRIM_EVERY_S
            if now >= trim_at and self._capture is not None:
                self._capture.trim(work.output_max_bytes)
                trim_at = now + TRIM_EVERY_S
        return status, verdict

    def _verdict(self, number: int, is_late: bool) -> int | None:
        strike = self._page[STRIKES_AT + number - 1]
        if strike:
            return strike
        if self._is_orphan:
            return _CANCELLED
        return _TIMED_OUT if is_late else None

    def _sleep(self, seconds: float) -> None:
        """Until a child ended, the agent says something, or the time is over."""
        if has_results := not self._outbox.is_empty:
            # Of tasks before this one: they must not wait for its end.
            seconds = min(seconds, FLUSH_S)
        woken = signal.sigtimedwait(_WAKES, max(0.0, seconds))
        if woken is None:
            if has_results:
                self._outbox.flush()
        elif woken.si_signo == signal.SIGIO:
            self._hear()

    def _hear(self) -> None:
        """Takes the pokes of the agent, and notes its death: then what runs ends."""
        while not self._is_orphan:
            try:
                self._is_orphan = not self._sock.recv(HEAD.size, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                # It died with results of ours unread.
                self._is_orphan = True

    def _reap(self, leader: int) -> int | None:
        """Collects what ended, up to the leader; its wait status if it is among them."""
        pid, status, usage = os.wait4(-1, os.WNOHANG)
        while pid and pid != leader:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
        self._rusage = usage
        return status if pid else None

    def _is_clean(self) -> bool:
        """Whether nothing runs below us; collects what ended."""
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        return False

    def _sweep(self, linger_s: float) -> None:
        """Ends what a command left running."""
        now = time.monotonic()
        term_at, kill_at = now + linger_s, now + linger_s + TERM_GRACE_S
        give_up_at = kill_at + SWEEP_MAX_S
        asked: set[int] = set()
        while not self._is_clean():
            now = time.monotonic()
            if now >= give_up_at:
                return
            if now >= kill_at:
                proctree.signal_all(proctree.descendants(os.getpid()), signal.SIGKILL)
                until = now + 0.02
            elif now >= term_at:
                fresh = [p for p in proctree.descendants(os.getpid()) if p not in asked]
                proctree.signal_all(fresh, signal.SIGTERM)
                asked.update(fresh)
                until = kill_at
            else:
                until = term_at
            self._sleep(until - now)


def _signal_tree(leader: int, number: int) -> None:
    """Signals the group of a command that we have not yet reaped, and what left the group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
    proctree.signal_all(proctree.descendants(os.getpid()), number)


def _own_directory(work: Work, index: int, notes: Notes) -> str:
    """The directory of one task; made here. In somebody's home all of them are in `covey`."""
    name = f"{work.ids[index]}.{work.ns[index]}"
    above = [f"job{work.job}"] if work.here else [_TASKS, f"job{work.job}"]
    path = os.path.join(work.workdir, *above, name)
    # If it cannot be made, entering it says why.
    with suppress(OSError):
        for number in range(2, _SAME_NAMES_MAX):
            if path in notes.make(work.workdir, [*above, os.path.basename(path)], 0o700):
                break
            # Two clusters may use one account, and both have a job 1.
            path = os.path.join(os.path.dirname(path), f"{name}-{number}")
    return path


def _leave_empty(path: str) -> None:
    """Removes the directory of a task unless the task left something in it."""
    os.chdir("/")
    with suppress(OSError):
        os.rmdir(path)
        os.rmdir(os.path.dirname(path))
        if (top := os.path.dirname(os.path.dirname(path))).endswith(f"/{_TASKS}"):
            os.rmdir(top)
