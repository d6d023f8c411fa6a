"""The same command on many machines: a durable job of the head with one task for each of them.

Each task may run on its machine only and takes no slot, so a long `covey map` delays nobody. A
machine that cannot be reached has its result at once: that it cannot.
"""

import asyncio
import contextlib
import difflib
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from covey.bus.loop import run_loop
from covey.client.client import HeadLink
from covey.client.head_job import HeadJob
from covey.client.jobs import JobOrder, outcomes
from covey.errors import CoveyError, JobCancelled, RequestTimeout, UsageError
from covey.model.agent_state import AgentState
from covey.model.context import encode_command
from covey.model.errand import Errand, Gathered, decode_gathered, encode_errand
from covey.model.job import JobSpec, Shape
from covey.model.task import OutcomeState
from covey.scheduler.rows import OutcomeRow
from covey.settings import Settings
from covey.wire.messages import Output

#: A machine that has never answered the head is not waited for longer than this.
JOINING_MAX_S = 5.0
#: How often such machines are looked for.
LOOK_EVERY_S = 0.5
#: `JobSpec.client["kind"]` of a run.
RUN = "run"


class End(StrEnum):
    """How it ended on one machine."""

    OK = "ok"
    #: Another exit status than 0, or killed by a signal.
    FAILED = "failed"
    TIMED_OUT = "timed out"
    #: Not reached, or lost while it ran there: nobody knows how far it came.
    UNREACHABLE = "unreachable"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class ErrandOrder:
    """What is to be run, and where."""

    errand: Errand
    #: Names; () = every machine of the cluster.
    machines: tuple[str, ...] = ()
    timeout_s: float = 0.0
    #: Name of the job.
    name: str = ""
    user: str = ""
    #: `JobSpec.client["kind"]`.
    kind: str = RUN
    #: What was typed, for `covey jobs`; and its words, to run it again.
    command: bytes = b""
    words: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class ErrandResult:
    """What came of it on one machine."""

    machine: str
    end: End
    #: None = it did not end by itself.
    exit: int | None
    signal: int
    stdout: bytes
    stderr: bytes
    elapsed_s: float | None
    #: Why it is not ok, where the exit status does not say it.
    reason: str
    #: Packed; see `gathered`.
    value: bytes = b""

    @property
    def is_ok(self) -> bool:
        """Whether it succeeded."""
        return self.end is End.OK

    def gathered(self) -> Gathered:
        """What it wrote to COVEY_OUTPUT.

        Raises:
            DecodeError: the machine sent nonsense.
        """
        return decode_gathered(self.value)


def result_of(row: OutcomeRow, machine: str, reason: str = "") -> ErrandResult:
    """The result that an outcome of such a job tells."""
    has_run = row.started is not None and row.ended is not None
    elapsed_s = max(0.0, (row.ended or 0.0) - (row.started or 0.0)) if has_run else None
    end = _END_OF.get(row.state, End.FAILED)
    has_ended = has_run and end in (End.OK, End.FAILED) and not row.signal
    if not reason and row.error is not None:
        reason = f"{row.error[0]}: {row.error[1]}"
    return ErrandResult(
        machine=machine,
        end=end,
        exit=row.exit if has_ended else None,
        signal=row.signal,
        stdout=row.out,
        stderr=row.err,
        elapsed_s=elapsed_s,
        reason=reason,
        value=row.value,
    )


_END_OF = {
    OutcomeState.SUCCEEDED: End.OK,
    OutcomeState.TIMED_OUT: End.TIMED_OUT,
    OutcomeState.LOST: End.UNREACHABLE,
    OutcomeState.CANCELLED: End.CANCELLED,
}


class ErrandRun:
    """An errand under way. Use `begin`, and close it. One event loop."""

    def __init__(self, link: HeadLink, job: HeadJob, machines: tuple[str, ...]) -> None:
        self._link = link
        self._job = job
        self.machines = machines
        #: Machine -> why it was given up.
        self._given_up: dict[str, str] = {}
        self._waiting = set(machines)
        self._watch: asyncio.Task[None] | None = None

    @classmethod
    async def begin(cls, settings: Settings, order: ErrandOrder) -> "ErrandRun":
        """Hand it to the head.

        Raises:
            NotUp, BusUnavailable, RequestTimeout: the head cannot be reached.
            UsageError: there is no machine, or none of that name.
        """
        link = await HeadLink.connect(settings)
        try:
            known = await _states(link)
            machines = _chosen(order.machines, list(known))
            job = await HeadJob.begin(settings, _job_order(order, machines))
        except BaseException:
            await link.close()
            raise
        self = cls(link, job, machines)
        try:
            await job.add_each([encode_command([name.encode()]) for name in machines])
            await job.seal()
        except BaseException:
            await self.close()
            raise
        self._watch = asyncio.get_running_loop().create_task(self._give_up_strangers())
        return self

    @property
    def job(self) -> int:
        """Its number among the jobs of the cluster."""
        return self._job.job

    @property
    def waiting(self) -> list[str]:
        """Machines without a result yet."""
        return [name for name in self.machines if name in self._waiting]

    @property
    def trouble(self) -> str:
        """Why nothing comes for now ("" = it does)."""
        return self._job.trouble

    async def follow(self, hear: Callable[[str, Output], None]) -> None:
        """From now on `hear` is told what each machine writes while it runs there."""
        self._job.on_output = lambda output: hear(self.machines[output.id - 1], output)
        await self._job.follow(0)

    async def results(self) -> AsyncIterator[list[ErrandResult]]:
        """Results as machines end, [] now and then meanwhile; each machine has one in the end.

        Raises:
            CoveyError: the head does not go on.
        """
        async for page in outcomes(self._job):
            found = [await self._result(row) for row in page]
            self._waiting.difference_update(one.machine for one in found)
            yield found
        if self._waiting:
            # The ledger lost what it had: nobody should take silence for success.
            raise JobCancelled(f"job {self.job} ended without {', '.join(sorted(self._waiting))}")

    async def cancel(self) -> None:
        """Stop it where it runs; what was quicker keeps its result."""
        await self._job.cancel([])

    async def close(self) -> None:
        """Let go; it goes on."""
        if self._watch is not None:
            self._watch.cancel()
        await self._job.close()
        await self._link.close()

    async def _result(self, row: OutcomeRow) -> ErrandResult:
        machine = self.machines[row.task - 1]
        if why := self._given_up.get(machine, ""):
            result = result_of(row, machine, why)
            if result.end is End.CANCELLED:
                return unreachable(machine, why)
            return result
        if row.state is OutcomeState.LOST:
            return result_of(row, machine, await self._why(machine))
        return result_of(row, machine)

    async def _why(self, machine: str) -> str:
        try:
            found = (await _states(self._link)).get(machine)
        except CoveyError:
            found = None
        if found is None:
            return "it left the cluster"
        state, why = str(found["state"]), str(found.get("why") or "")
        if state == AgentState.READY:
            return "it was lost while this ran"
        if state == AgentState.UNREACHABLE:
            return why
        return f"{state}: {why}" if why else state

    async def _give_up_strangers(self) -> None:
        """Machines that the head has never met are not waited for."""
        loop = asyncio.get_running_loop()
        until = loop.time() + JOINING_MAX_S
        while self._waiting:
            await asyncio.sleep(LOOK_EVERY_S)
            with contextlib.suppress(RequestTimeout):
                states = await _states(self._link)
                strangers = [
                    name
                    for name in self.waiting
                    if states.get(name, {}).get("state") == AgentState.JOINING
                ]
                if not strangers:
                    return
                if loop.time() >= until:
                    for name in strangers:
                        self._given_up[name] = str(states[name].get("why") or "has not answered")
                    await self._job.cancel([self.machines.index(n) + 1 for n in strangers])
                    return


def run_to_end(settings: Settings, order: ErrandOrder) -> list[ErrandResult]:
    """Run it and wait; the results in the order of machines. When interrupted, it is cancelled.

    Raises:
        CoveyError: it could not be begun, or the head does not go on.
    """

    async def run() -> list[ErrandResult]:
        errand = await ErrandRun.begin(settings, order)
        try:
            found = {one.machine: one async for page in errand.results() for one in page}
        except asyncio.CancelledError:
            await errand.cancel()
            raise
        finally:
            await errand.close()
        return [found[name] for name in errand.machines]

    return run_loop(run())


def unreachable(machine: str, why: str) -> ErrandResult:
    """The result of a machine that nobody came to."""
    return ErrandResult(machine, End.UNREACHABLE, None, 0, b"", b"", None, why)


def _job_order(order: ErrandOrder, machines: Sequence[str]) -> JobOrder:
    context = encode_errand(order.errand)
    digest = hashlib.sha256(context).hexdigest()
    spec = JobSpec(
        name=order.name,
        user=order.user,
        on_lost="fail",
        shapes=tuple(
            Shape(
                kind="command",
                context=digest,
                slots=0,
                user=order.user,
                time_limit_s=order.timeout_s,
                may_chunk=False,
                machines=(name,),
            )
            for name in machines
        ),
        client={
            "kind": order.kind,
            "command": order.command,
            "words": list(order.words),
            "machines": list(machines),
            "project": order.errand.project,
        },
    )
    return JobOrder(spec, {digest: context})


async def _states(link: HeadLink) -> dict[str, dict[str, Any]]:
    machines = (await link.ask("status"))["machines"]
    return {str(machine["name"]): machine for machine in machines}


def _chosen(wanted: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    if not known:
        raise UsageError("the cluster has no machines — add some with: covey up HOST…")
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
            raise UsageError(f"there is no machine {name!r} in the cluster — {hint}")
    return tuple(dict.fromkeys(wanted)) if wanted else tuple(known)
