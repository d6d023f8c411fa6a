"""The slots of an agent: one chunk each, run by child processes that the zygote forks.

A slot is a right to run; children are kept apart from it. Tasks that take none run under numbers
above those of the slots, each in a child of its own as well. A child has a *scope*: commands of one
niceness, or the callables of one job; it never serves another, since what a job imported, changed
or left running in its process is no business of the next. An idle child stays warm for its scope,
within limits. So a chunk gets, in this order: an idle child of its scope, an unused one, a new
one.

When a child dies, the results that it had written stand, the task that it was in gets the blame,
and what it had not started is returned.
"""

import asyncio
import os
import signal
import socket
from asyncio import AbstractEventLoop
from collections.abc import Callable
from pathlib import Path

from covey.agent import ending
from covey.agent.ending import how_it_ended
from covey.agent.forker import Forker
from covey.agent.frames import CHUNK_TASKS_MAX
from covey.agent.handle import Chunk, Handle, Run, now
from covey.core.events import Ended
from covey.model.task import OutcomeState

#: Idle children that are kept, per slot: a pool for two jobs that take turns.
IDLE_PER_SLOT = 2
#: Children that are forked before there is work for them.
AHEAD_MAX = 8
#: From SIGTERM to SIGKILL for the child of a callable, and for what it started.
KILL_GRACE_S = 2.0
#: A runner that did not end a struck command by itself within this time is killed.
RUNNER_GRACE_S = 8.0
#: A struck task may have started in just that moment: so often it is looked at again.
PURSUE_S = 0.01
#: A chunk of several tasks that is silent is looked at after so long, then less and less often.
LOOK_S = 0.003
LOOK_MAX_S = 0.05
#: A child that could not be forked (memory, process limit): its tasks go back after this time.
FORK_PAUSE_S = 0.5

_RETURNED = int(OutcomeState.RETURNED)
_CRASHED = int(OutcomeState.CRASHED)
_CANCELLED = int(OutcomeState.CANCELLED)
_TIMED_OUT = int(OutcomeState.TIMED_OUT)

OnEnded = Callable[[Ended, list[int], list[bytes]], None]


class Slots:
    """Runs chunks in child processes. Lives in the event loop of the agent.

    zygote_socket: of `fork_zygote`; closed by `close`. count: slots, numbered from 1. runtime_dir:
    local directory for captured output. owner: incarnation of the agent, by which orphans are
    found. on_ended(ended, ids, reports): the next tasks of the chunk in a slot ended; `ids` and
    `reports` stand beside `ended.states`. It may call `start` for the same slot when `is_last` is
    set.
    """

    def __init__(
        self,
        zygote_socket: socket.socket,
        count: int,
        runtime_dir: Path,
        owner: str,
        on_ended: OnEnded,
    ) -> None:
        self.count = count
        self._runtime_dir = str(runtime_dir)
        self._owner = owner
        self._on_ended = on_ended
        self._loop: AbstractEventLoop = asyncio.get_running_loop()
        self._busy: dict[int, Handle] = {}
        #: Least recently used first.
        self._idle: list[Handle] = []
        self._is_closing = False
        self._forker = Forker(self._loop, zygote_socket, owner, self._on_died)
        # Ahead of the first tasks, so that they do not wait.
        self._idle.extend(self._fork() for _ in range(min(count, AHEAD_MAX)))

    async def start_all(self) -> None:
        """Returns when the children that were forked ahead are up. Nobody has to wait for it."""
        await self._forker.all_up()

    @property
    def is_broken(self) -> bool:
        """Nothing can be run here any more: what is started comes back as returned."""
        return self._forker.is_gone

    def start(self, chunk: Chunk) -> None:
        """Runs a chunk in its slot, which must be free.

        Raises:
            ValueError: the slot is in use, or the chunk is too long.
        """
        if chunk.slot in self._busy:
            raise ValueError(f"slot {chunk.slot} is in use")
        if len(chunk.ids) > CHUNK_TASKS_MAX:
            raise ValueError(f"a chunk of {len(chunk.ids)} tasks: at most {CHUNK_TASKS_MAX}")
        handle = self._take(_scope(chunk))
        self._busy[chunk.slot] = handle
        env = {
            "COVEY_SLOT": str(chunk.slot),
            "COVEY_CPUS": str(max(1, chunk.terms.slots)),
            **chunk.env,
            "COVEY_OWNER": self._owner,
        }
        run = handle.start(chunk, env, self._runtime_dir)
        if chunk.kind == "callable" and (len(chunk.ids) > 1 or chunk.time_limit_s):
            run.look_s = LOOK_S if len(chunk.ids) > 1 else chunk.time_limit_s
            run.timer = self._loop.call_later(run.look_s, self._look, handle, run)

    def kill(self, slot: int, ids: list[int]) -> None:
        """Stops tasks of the chunk in a slot: they end as CANCELLED unless they were quicker."""
        handle = self._busy.get(slot)
        if handle is None or handle.run is None:
            return
        run = handle.run
        wanted = set(ids)
        indexes = [i for i, task in enumerate(run.chunk.ids) if task in wanted]
        fresh = [i for i in indexes if i >= run.received and i not in run.struck]
        if not fresh:
            return
        run.struck.update(fresh)
        handle.strike(fresh, _CANCELLED)
        if run.chunk.kind == "command":
            handle.poke()
            self._loop.call_later(RUNNER_GRACE_S, self._kill_struck, handle, run)
        else:
            self._pursue(handle, run)

    def strike(self, slot: int) -> int:
        """Has what was not begun of a chunk come back: how many of its last tasks never start.

        A task that begins in this very moment may run all the same; it is not counted.
        """
        handle = self._busy.get(slot)
        if handle is None or handle.run is None:
            return 0
        run = handle.run
        first = max(handle.marked()[0] + 1, run.received)
        tail = len(run.chunk.ids)
        while tail > first and tail - 1 not in run.struck:
            tail -= 1
        wanted = list(range(tail, len(run.chunk.ids)))
        run.struck.update(wanted)
        handle.strike(wanted, _RETURNED)
        # A child marks a task before it looks at its strike: behind the mark, all are seen.
        begun = handle.marked()[0]
        return sum(index > begun for index in wanted)

    def read_output(self, slot: int, task: int, stream: int, offset: int, length: int) -> bytes:
        """What the running command of `task` wrote to stdout (1) or stderr (2) from `offset` on.

        b"" when it does not run (any more), or has written nothing.
        """
        handle = self._busy.get(slot)
        if handle is None or handle.run is None or not handle.pid:
            return b""
        index, _ = handle.marked()
        fd = handle.capture_fd(stream)
        if index < handle.run.received or handle.run.chunk.ids[index] != task or not fd:
            return b""
        try:
            with open(f"/proc/{handle.pid}/fd/{fd}", "rb", buffering=0) as file:
                data = os.pread(file.fileno(), length, offset)
        except OSError:
            return b""
        # Meanwhile the file may have gone to the next task.
        return data if handle.marked()[0] == index and handle.run.received <= index else b""

    def read_pid(self, slot: int) -> int:
        """Pid of the child that runs the chunk of a slot; 0 = none, or not yet known."""
        handle = self._busy.get(slot)
        return handle.pid if handle is not None else 0

    def marked_task(self, slot: int) -> int:
        """The task that is running in a slot; 0 = none."""
        handle = self._busy.get(slot)
        if handle is None or handle.run is None:
            return 0
        index, _ = handle.marked()
        return handle.run.chunk.ids[index] if index >= handle.run.received else 0

    def forget(self, scheduler: str, job: int) -> None:
        """The job is over: idle children of its callables end."""
        wanted = ("callable", scheduler, job)
        for handle in [h for h in self._idle if h.scope is not None and h.scope[:3] == wanted]:
            self._retire(handle)

    async def close(self, grace_s: float) -> None:
        """Ends every child and all they started: SIGTERM, `grace_s`, SIGKILL. No more callbacks.

        The zygote ends as well; its parent has to reap it (`os.waitpid`).
        """
        if self._is_closing:
            return
        self._is_closing = True
        for handle in [*self._idle, *self._busy.values()]:
            handle.close()
        self._idle.clear()
        self._busy.clear()
        await self._forker.close(grace_s)

    # ------------------------------------------------------------ children

    def _take(self, scope: tuple[object, ...]) -> Handle:
        """An idle child for this scope, or a new one."""
        for wanted in (scope, None):
            # The most recently used one has the warmest caches.
            for handle in reversed(self._idle):
                if handle.scope == wanted:
                    self._idle.remove(handle)
                    handle.scope = scope
                    return handle
        handle = self._fork()
        handle.scope = scope
        return handle

    def _fork(self) -> Handle:
        handle = Handle(self._loop, self._on_results, self._on_gone)
        self._forker.fork(handle)
        return handle

    def _retire(self, handle: Handle) -> None:
        self._idle.remove(handle)
        handle.close()

    def _free(self, handle: Handle, *, is_aside: bool) -> None:
        """The child has nothing to do: it stays warm, and others may have to go for it."""
        self._idle.append(handle)
        # What ran aside of the slots leaves no more children than the slots have.
        kept = self.count if is_aside else IDLE_PER_SLOT * self.count
        while len(self._idle) > kept:
            self._retire(self._idle[0])

    # ------------------------------------------------------------ results

    def _on_results(
        self, handle: Handle, states: list[int], reports: list[bytes], elapsed_s: float
    ) -> None:
        run = handle.run
        assert run is not None
        chunk = run.chunk
        ids = chunk.ids[run.received : run.received + len(states)]
        run.received += len(states)
        is_last = run.received == len(chunk.ids)
        if is_last:
            self._end_run(handle, run)
            if not handle.is_closed:
                self._free(handle, is_aside=chunk.slot > self.count)
        self._on_ended(Ended(chunk.slot, states, elapsed_s, is_last), ids, reports)

    def _end_run(self, handle: Handle, run: Run) -> None:
        if run.timer is not None:
            run.timer.cancel()
        handle.run = None
        del self._busy[run.chunk.slot]

    # ------------------------------------------------------------ time

    def _look(self, handle: Handle, run: Run) -> None:
        """Fetches what a child inside a long task could not send, and judges that task's time."""
        if handle.run is not run:
            return
        handle.look()
        if handle.run is not run:
            return
        limit_s = run.chunk.time_limit_s
        run.look_s = min(run.look_s * 2, LOOK_MAX_S) if len(run.chunk.ids) > 1 else limit_s
        if limit_s and run.verdict is None:
            index, start = handle.marked()
            left_s = start + limit_s - now() if index >= run.received else limit_s
            if left_s <= 0:
                self._end_child(handle, run, _TIMED_OUT)
                return
            run.look_s = min(run.look_s, left_s)
        run.timer = self._loop.call_later(run.look_s, self._look, handle, run)

    def _pursue(self, handle: Handle, run: Run) -> None:
        """Ends the child when it is in a struck task; unstarted struck tasks it skips by itself."""
        if handle.run is not run or run.verdict is not None:
            return
        index, _ = handle.marked()
        if index >= run.received and index in run.struck:
            # Its result may be in the page already: then it was quicker.
            handle.look()
            if handle.run is run and index >= run.received:
                self._end_child(handle, run, _CANCELLED)
                return
        if handle.run is run and any(i >= run.received for i in run.struck):
            self._loop.call_later(PURSUE_S, self._pursue, handle, run)

    def _kill_struck(self, handle: Handle, run: Run) -> None:
        """A runner that does not obey (it is stopped, or hangs) is killed with its command."""
        if handle.run is run and any(i >= run.received for i in run.struck):
            run.verdict = _CANCELLED
            self._forker.signal(handle, signal.SIGKILL)

    def _end_child(self, handle: Handle, run: Run, verdict: int) -> None:
        run.verdict = verdict
        self._forker.signal(handle, signal.SIGTERM)
        self._loop.call_later(KILL_GRACE_S, self._kill_late, handle, run)

    def _kill_late(self, handle: Handle, run: Run) -> None:
        if handle.run is run:
            self._forker.signal(handle, signal.SIGKILL)

    # ------------------------------------------------------------ death

    def _on_gone(self, handle: Handle, is_garbled: bool) -> None:
        """Its socket broke. Mostly it is dead, and the zygote will say how.

        If not, user code closed our descriptor: the child ends when it wants to send its results,
        and they are found in the page.
        """
        if handle in self._idle:
            self._retire(handle)
        elif is_garbled:
            self._forker.signal(handle, signal.SIGKILL)

    def _on_died(self, handle: Handle, status: int | None) -> None:
        """The child is dead. status: as of waitpid; None = unknown."""
        if handle.is_closed:
            return
        handle.drain()
        if handle in self._idle:
            self._idle.remove(handle)
        run = handle.run
        if run is None:
            handle.close()
            return
        index, start = handle.marked()
        self._end_run(handle, run)
        handle.close()
        chunk = run.chunk
        states, reports = ending.blame(run, index, how_it_ended(status), status)
        elapsed_s = max(0.0, now() - max(start, run.accounted)) if start else 0.0
        ended = Ended(chunk.slot, states, elapsed_s, is_last=True)
        ids = chunk.ids[run.received :]
        run.received = len(chunk.ids)
        if any(state != _RETURNED for state in states) or self._is_closing:
            self._on_ended(ended, ids, reports)
        else:
            # Nothing was even begun: something is wrong here, so not again at once.
            self._loop.call_later(FORK_PAUSE_S, self._on_ended, ended, ids, reports)


def _scope(chunk: Chunk) -> tuple[object, ...]:
    if chunk.kind == "command":
        return ("command", chunk.terms.nice)
    return ("callable", chunk.scheduler, chunk.terms.pool or chunk.job, chunk.terms.nice)
