"""The head: one durable scheduler on the ledger, the bus server beside it, the desk for clients.

It can be killed at any moment and started again: the server, the agents and what they run go on,
and the next head adopts them (protocol.md rules 24, 33).
"""

import asyncio
import logging
import random
import secrets
import signal
import time
from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from typing import Any, cast

from covey.client.accepting import admission_of_cluster
from covey.client.cluster import HEAD, ClusterFiles, ProcessRecord, own_record
from covey.client.connecting import connect
from covey.core.events import AgentDied
from covey.core.roster import UNREACHABLE_AFTER_S
from covey.core.scheduler import SchedulerCore
from covey.errors import CoveyError, UsageError
from covey.files.blobs import BlobStore
from covey.head.desk import Desk, Reply
from covey.head.feeding import Feeding
from covey.head.machines import Machines
from covey.head.server import BusKeeper
from covey.head.status import explained, states_of, status_of, stuck_of
from covey.head.tunnels import TunnelKeeper
from covey.scheduler.admission import AdmittedJobs
from covey.scheduler.durable import DurableJobs, LedgerPayloads, LedgerRecorder
from covey.scheduler.ledger import Ledger
from covey.scheduler.reader import LedgerReader
from covey.scheduler.runs import next_job_number
from covey.scheduler.service import SchedulerService
from covey.scheduler.tracing import Tracing
from covey.settings import Settings
from covey.wire.messages import Output

log = logging.getLogger(__name__)

#: How often the head looks whether machines were added to the cluster.
MEET_EVERY_S = 1.0
#: How long an echo of a machine is waited for, and how often it is looked whether all have come.
PING_MAX_S = UNREACHABLE_AFTER_S
PING_LOOK_S = 0.005
#: Told once: agents that answered, and their round trips in seconds.
Echoed = Callable[[Mapping[str, float | None]], None]


class Head:
    """All services of the head, on one event loop. Its lock is held by the caller."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._files = ClusterFiles(settings.state_dir)
        self._incarnation = secrets.token_hex(16)
        self._end = asyncio.Event()
        self._trouble: CoveyError | None = None
        #: Why an agent is in the state that it is in.
        self._reasons: dict[str, str] = {}
        #: What whoever starts this head is to be told ("" = nothing).
        self.note = ""
        self._keeper = BusKeeper(settings, self._files)
        self._machines = Machines(self._files)

    async def start(self) -> None:
        """Open the ledger, start or adopt the bus server, take up jobs and agents.

        Raises:
            CoveyError: something of it is not possible; the message says what to do.
        """
        loop = asyncio.get_running_loop()
        state = self._settings.state_dir
        self._files.make_keys([machine.name for machine in self._files.machines()])
        # A head that was killed may have left a machine standing still.
        self._machines.thaw_all()
        self._ledger = Ledger.open(
            state / "ledger.db", post=loop.call_soon_threadsafe, on_error=self._on_ledger_error
        )
        if self._ledger.kept_as is not None:
            kept = self._ledger.kept_as
            self.note = f"{state / 'ledger.db'} was damaged: it is kept as {kept}, a new one begun"
            log.error("%s", self.note)
        self._reader = LedgerReader(state / "ledger.db")
        self._blobs = BlobStore(state / "blobs")
        self._term = self._ledger.raise_term()
        self._keeper.start()
        address = self._files.address()
        self._space = self._files.space(self._settings.cluster)
        self._bus = await connect(address, HEAD)
        self._make_services()
        self._tunnels = TunnelKeeper(
            self._settings.cluster,
            self._files,
            bus_port=lambda: self._keeper.port,
            is_ready=lambda name: name in self._service.core.roster.ready,
            on_death=lambda name: self._service.handle(AgentDied(name)),
        )
        await self._service.start()
        self._files.write_head(own_record(term=self._term, incarnation=self._incarnation))
        self._meet()
        self._jobs.restore()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end.set)

    def _make_services(self) -> None:
        payloads = LedgerPayloads(self._reader, self._blobs)
        core = SchedulerCore(
            HEAD,
            self._incarnation,
            self._term,
            durable=True,
            rng=random.Random(secrets.randbits(64)),
        )
        tracing = Tracing()
        self._service = SchedulerService(
            bus=self._bus,
            cluster=self._space,
            name=HEAD,
            core=core,
            sink=self,
            payloads=payloads,
            recorder=LedgerRecorder(self._ledger, tracing),
            tracing=tracing,
            on_stranger=lambda sender, data: self._desk.on_packet(sender, data),
        )
        self._jobs = DurableJobs(
            ledger=self._ledger,
            reader=self._reader,
            payloads=payloads,
            blobs=self._blobs,
            handle=self._service.handle,
            next_number=lambda: next_job_number(self._settings.state_dir),
        )
        self._feeding = Feeding(self._jobs)
        self._desk = Desk(
            bus=self._bus,
            cluster=self._space,
            term=self._term,
            submit_key=self._files.submit_key(),
            jobs=AdmittedJobs(self._jobs, admission_of_cluster(self._settings)),
            blobs=self._blobs,
            watched=self._watched,
            asked={
                "status": lambda _, reply: reply(self._status()),
                "explain": self._explain,
                "ping": self._ping,
                "cancel": self._cancel,
                "chaos": self._chaos,
                "feeding": self._feed,
                "machines": self._look_again,
                "states": self._states,
                "tunnel": self._tunnel,
                "stopped": self._stopped,
                "drain": self._drain,
                "ssh_agent": self._ssh_agent,
            },
        )

    async def run(self) -> None:
        """Serve until SIGTERM."""
        while not self._end.is_set():
            try:
                async with asyncio.timeout(MEET_EVERY_S):
                    await self._end.wait()
            except TimeoutError:
                self._meet()
                self._feeding.look()

    def _meet(self) -> None:
        """Machines came or went, or drain: the scheduler does as cluster.json says."""
        self._service.meet(self._files.members())
        self._tunnels.look()

    async def close(self) -> None:
        """Stop serving; agents, tunnels, bus server and what runs are left as they are."""
        self._keeper.close()
        self._tunnels.close()
        await self._service.close()
        await self._bus.close()
        self._reader.close()
        await asyncio.to_thread(self._ledger.close)

    # ------------------------------------------------------------ ports.Sink

    def resolved(
        self, job: int, ids: list[int], states: list[int], reports: list[bytes | None]
    ) -> None:
        """See `ports.Sink`."""
        self._desk.advanced(job, self._ledger.seq_of(job), "")

    def job_ended(self, job: int, state: str) -> None:
        """See `ports.Sink`."""
        self._jobs.ended(job)
        self._desk.advanced(job, self._ledger.seq_of(job), state)

    def agent_changed(self, agent: str, state: str, reason: str) -> None:
        """See `ports.Sink`."""
        self._reasons[agent] = reason
        log.info("%s is %s%s", agent, state, f" ({reason})" if reason else "")

    def output(self, message: Output) -> None:
        """See `ports.Sink`."""
        self._desk.output(message)

    def failed(self, error: CoveyError) -> None:
        """See `ports.Sink`."""
        log.critical("%s", error)
        self._end.set()

    def _on_ledger_error(self, error: CoveyError | None) -> None:
        self._trouble = error
        if error is not None:
            log.error("records wait: %s", error)
        else:
            log.info("records go through again")

    # ------------------------------------------------------------ Ask

    def _watched(self, client: str, job: int, after_seq: int) -> dict[str, Any]:
        """The rows are read from the ledger by the client itself."""
        known = self._service.core.jobs.get(job)
        running = len(known.running) if known is not None else 0
        if stuck := stuck_of(self._service, job, time.monotonic()):
            # What was granted waits at its agent, unless it had begun before.
            peers = self._service.core.roster.peers
            busy = sum(int(self._service.facts(name).get("busy", 0)) for name in peers)
            running = min(running, busy)
        return {"job": job, "running": running, "stuck": stuck}

    def _status(self) -> dict[str, Any]:
        trouble = str(self._trouble) if self._trouble is not None else ""
        return status_of(
            self._settings.cluster,
            self._service,
            self._files,
            self._tunnels,
            reasons=self._reasons,
            now=time.monotonic(),
            forged=self._service.forged + self._desk.forged,
            stale=self._service.stale + self._desk.stale,
            trouble=trouble,
        )

    def _explain(self, args: dict[str, Any], reply: Reply) -> None:
        job, task = int(args["job"]), int(args.get("task") or 0)
        reply(explained(self._service, job, task, time.monotonic()))

    def _ping(self, args: dict[str, Any], reply: Reply) -> None:
        def answer(awake: Mapping[str, float | None]) -> None:
            names = [machine.name for machine in self._files.machines()]
            reply({"machines": [{"name": n, "latency_s": awake.get(n)} for n in names]})

        self._service.ping()
        self._await_echoes(min(float(args.get("max_s", PING_MAX_S)), PING_MAX_S), answer)

    def _await_echoes(self, max_s: float, then: Echoed, only: Container[str] | None = None) -> None:
        """As soon as all that are in session have answered; who has not in time is silent."""
        loop = asyncio.get_running_loop()
        until = loop.time() + max_s

        def look() -> None:
            peers = self._service.core.roster.peers.values()
            asked = [one for one in peers if one.is_ready and (only is None or one.name in only)]
            # An answer takes the nonce away.
            if any(peer.nonce for peer in asked) and loop.time() < until:
                loop.call_later(PING_LOOK_S, look)
            else:
                then({peer.name: peer.rtt_s for peer in asked if not peer.nonce})

        look()

    def _cancel(self, args: dict[str, Any], reply: Reply) -> None:
        self._jobs.cancel(
            int(args["job"]), [int(task) for task in cast(list[Any], args.get("tasks") or [])]
        )
        reply({"job": int(args["job"])})

    def _feed(self, args: dict[str, Any], reply: Reply) -> None:
        feeder = ProcessRecord(int(args["pid"]), int(args["started"]))
        self._feeding.heard(int(args["job"]), feeder)
        reply({"job": int(args["job"])})

    def _look_again(self, args: dict[str, Any], reply: Reply) -> None:
        """Machines came or went, or what is known of them changed: cluster.json says how."""
        self._keeper.look()
        self._meet()
        reply({})

    def _states(self, args: dict[str, Any], reply: Reply) -> None:
        """What whoever waits for a machine needs: little, for many machines, often."""
        for name in cast(list[str], args.get("hello") or []):
            self._service.greet(name)
        reply({"machines": states_of(self._service, self._tunnels)})

    def _tunnel(self, args: dict[str, Any], reply: Reply) -> None:
        """An agent was started on a machine, or somebody brought a key: connect now."""
        self._tunnels.kick(str(args["machine"]))
        reply({})

    def _stopped(self, args: dict[str, Any], reply: Reply) -> None:
        """Whoever asks has just ended the agent of a machine."""
        self._service.handle(AgentDied(str(args["machine"])))
        reply({})

    def _drain(self, args: dict[str, Any], reply: Reply) -> None:
        names, on = set(cast(list[str], args["machines"])), bool(args["on"])
        there = {machine.name for machine in self._files.machines()}
        if unknown := names - there:
            raise UsageError(f"there is no machine {', '.join(sorted(unknown))} in this cluster")
        self._files.change_machines(
            lambda known: [replace(m, is_draining=on) if m.name in names else m for m in known]
        )
        self._meet()
        # An echo tells how busy a machine is: whoever waits until nothing runs there reads no
        # figure from before.
        self._service.ping()
        self._await_echoes(PING_MAX_S, lambda _: reply({"machines": sorted(names)}), names)

    def _ssh_agent(self, args: dict[str, Any], reply: Reply) -> None:
        self._tunnels.use_agent_socket(str(args["socket"]))
        reply({})

    def _chaos(self, args: dict[str, Any], reply: Reply) -> None:
        how, machine, for_s = str(args["how"]), str(args["machine"]), float(args.get("for_s") or 3)
        self._machines.check(machine)
        if how == "cut":
            self._keeper.cut(machine, for_s)
        else:
            self._machines.disturb(how, machine, for_s)
        reply({"how": how, "machine": machine, "for_s": for_s, "at": time.time()})
