"""A shared scheduler: `covey scheduler --name s1`, in memory, beside the head of a cluster.

It is to the agents what an Executor is, and to its clients what a head is: it signs with the
agents' keys, and obeys requests that are signed with the submit key. What it holds are bytes; it
never unpickles. It keeps nothing: its clients submit what is open to the next one when it dies.
"""

import asyncio
import contextlib
import logging
import os
import random
import secrets
import signal
from collections.abc import Callable
from typing import Any

from covey.client.accepting import admission_of_cluster
from covey.client.cluster import ProcessRecord, files_of, own_record
from covey.client.connecting import connect
from covey.client.schedulers import bus_name
from covey.core.scheduler import SchedulerCore
from covey.errors import AlreadyUp, CoveyError, NotUp, StateInUse
from covey.files.memory_blobs import MemoryBlobs
from covey.head.desk import Desk, Reply
from covey.model.phases import phased
from covey.scheduler import locks
from covey.scheduler.memory import MemoryJobs
from covey.scheduler.service import SchedulerService
from covey.scheduler.tracing import Tracing
from covey.settings import Settings
from covey.wire.messages import Output

log = logging.getLogger(__name__)

#: How often machines are looked for, and clients that are gone.
LOOK_EVERY_S = 1.0
#: Before it says that it is ready, a scheduler waits this long for the agents to answer it.
AGENTS_MAX_S = 3.0
#: … and looks this often whether they have.
AGENTS_LOOK_S = 0.02


class SharedScheduler:
    """One scheduler that others submit to. One event loop."""

    _service: SchedulerService
    _desk: Desk

    def __init__(self, settings: Settings, name: str) -> None:
        """Take the name.

        Raises:
            AlreadyUp: a scheduler of this name runs.
            LedgerError: the state directory cannot be written.
        """
        self._settings = settings
        self._files = files_of(settings)
        self.name = name
        self._end = asyncio.Event()
        self._error: CoveyError | None = None
        self._tracing = Tracing()
        directory = self._files.scheduler_dir
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        known = self._files.schedulers().get(name)
        try:
            self._lock = locks.take(directory / f"{name}.lock")
        except StateInUse as error:
            who = f" (process {known.pid})" if known is not None else ""
            raise AlreadyUp(
                f"a scheduler {name} of cluster {settings.cluster} runs already{who}: give this one"
                " another --name"
            ) from error
        # What a former one of this name said is late for everybody.
        self._term = 1 + (known.term if known is not None else 0)

    async def start(self) -> None:
        """Connect, and meet the agents.

        Raises:
            NotUp: the cluster is not up.
            BusUnavailable: its bus does not answer.
        """
        files, settings = self._files, self._settings
        address, space = files.address(), files.space(settings.cluster)
        me, incarnation = bus_name(self.name), secrets.token_hex(16)
        self._bus = await connect(address, me)
        rng = random.Random(secrets.randbits(64))
        core = SchedulerCore(me, incarnation, self._term, durable=False, rng=rng)
        blobs = MemoryBlobs()
        self._jobs = MemoryJobs(
            handle=lambda event: self._service.handle(event),
            tell=lambda client, message: self._desk.tell(client, message),
            running=self._running,
            blobs=blobs,
            admission=admission_of_cluster(settings),
        )
        self._service = SchedulerService(
            bus=self._bus,
            cluster=space,
            name=me,
            core=core,
            sink=self,
            payloads=self._jobs,
            on_stranger=lambda sender, data: self._desk.on_packet(sender, data),
            on_gone=self._jobs.client_gone,
            tracing=self._tracing,
        )
        self._desk = Desk(
            bus=self._bus,
            cluster=space,
            term=self._term,
            submit_key=files.submit_key(),
            jobs=self._jobs,
            blobs=blobs,
            watched=self._jobs.watched,
            asked={"probe": self._probed, "counts": self._counted},
            name=me,
        )
        await self._service.start()
        self._meet()
        await self._agents_answered()
        # Only now: who reads it may submit.
        files.write_scheduler(self.name, own_record(term=self._term, incarnation=incarnation))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._end.set)

    async def run(self) -> None:
        """Serve until a signal.

        Raises:
            NotUp: the cluster was taken down.
            CoveyError: it cannot go on.
        """
        while not self._end.is_set():
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._end.wait()
            except TimeoutError:
                self._meet()
                self._jobs.look()
        if self._error is not None:
            raise self._error

    async def close(self) -> None:
        """Leave: agents stop our tasks, clients go to the next scheduler at once."""
        await self._service.close()
        await self._bus.close()
        # The name is free again; the record stays for its term. (After `down`, nothing stays.)
        with contextlib.suppress(OSError):
            self._files.write_scheduler(self.name, ProcessRecord(0, 0, term=self._term))
        os.close(self._lock)

    @property
    def machines(self) -> tuple[int, int, int]:
        """(machines of the cluster, those that take work, their slots)."""
        ready = [p for p in self._service.core.roster.peers.values() if p.is_ready]
        return len(self._files.machines()), len(ready), sum(peer.slots for peer in ready)

    # ------------------------------------------------------------ inside

    def _meet(self) -> None:
        """Members of the cluster come and go."""
        try:
            members = self._files.members()
        except (OSError, ValueError) as error:
            # It is just being changed.
            log.debug("members of the cluster cannot be read: %s", error)
            return
        if not members:
            raise NotUp(f"cluster {self._settings.cluster} was taken down", cluster="")
        self._service.meet(members)

    async def _agents_answered(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + AGENTS_MAX_S
        while loop.time() < until:
            machines, ready, _ = self.machines
            if ready >= machines:
                return
            await asyncio.sleep(AGENTS_LOOK_S)

    def _running(self, job: int) -> int:
        known = self._service.core.jobs.get(job)
        return len(known.running) if known is not None else 0

    def _probed(self, args: dict[str, Any], reply: Reply) -> None:
        machines, ready, slots = self.machines
        reply({"machines": machines, "ready": ready, "slots": slots, "jobs": self._jobs.open})

    def _counted(self, args: dict[str, Any], reply: Reply) -> None:
        """Messages by kind since the start; jobs that were ever submitted, and those left."""
        jobs = {"jobs": self._jobs.submitted, "open": self._jobs.open}
        reply({"messages": self._service.core.counts, **jobs})

    # ------------------------------------------------------------ ports.Sink

    def resolved(
        self, job: int, ids: list[int], states: list[int], reports: list[bytes | None]
    ) -> None:
        """See `ports.Sink`. The client of a traced job gets what its tasks' steps were."""
        if steps := self._tracing.take(job, ids):
            pairs = zip(reports, steps, strict=True)
            reports = [phased(report or b"", phases) for report, (_, phases) in pairs]
        self._jobs.resolved(job, ids, states, reports)

    def job_ended(self, job: int, state: str) -> None:
        """See `ports.Sink`."""
        self._jobs.ended(job)

    def agent_changed(self, agent: str, state: str, reason: str) -> None:
        """See `ports.Sink`."""
        log.info("%s is %s%s", agent, state, f" ({reason})" if reason else "")

    def output(self, message: Output) -> None:
        """See `ports.Sink`."""
        self._desk.output(message)

    def failed(self, error: CoveyError) -> None:
        """See `ports.Sink`."""
        self._error = error
        self._end.set()


async def serve(settings: Settings, name: str, on_ready: Callable[[SharedScheduler], None]) -> None:
    """Run a shared scheduler until a signal; `on_ready` hears when others may submit to it.

    Raises:
        CoveyError: it could not start, or cannot go on.
    """
    scheduler = SharedScheduler(settings, name)
    await scheduler.start()
    try:
        on_ready(scheduler)
        await scheduler.run()
    finally:
        await scheduler.close()
