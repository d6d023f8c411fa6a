"""A durable job without a head: scheduler and ledger are in this process, the rest below one root.

The run has its own directory and ledger, `runs/<N>/`. When it ends, its rows are folded into the
ledger of the cluster; when this process dies, the root stops the children and the run waits for
`covey resume N`.
"""

import asyncio
import random
import secrets
from collections.abc import Callable

from covey.client.connecting import connect
from covey.client.jobs import PAGE_ROWS, WAITS, JobOrder
from covey.client.launch import Launch
from covey.client.private import AGENT
from covey.client.whereabouts import where_text
from covey.core.events import AgentKnown, PeerGone
from covey.core.explaining import held_back
from covey.core.scheduler import SchedulerCore
from covey.errors import CoveyError, JobNotFound, StartFailed
from covey.files.blobs import BlobStore
from covey.scheduler.durable import DurableJobs, LedgerPayloads, LedgerRecorder
from covey.scheduler.folding import fold
from covey.scheduler.ledger import Ledger
from covey.scheduler.member import Member
from covey.scheduler.reader import LedgerReader
from covey.scheduler.rows import JobRow, OutcomeRow
from covey.scheduler.service import SchedulerService
from covey.scheduler.tracing import Tracing
from covey.wire.codec import spec_to_wire
from covey.wire.messages import Output

#: Items that are handed over and not yet durable.
WINDOW_ITEMS = 20_000
#: The root process is replaced this often when it dies.
ROOT_RESTARTS_MAX = 3


class PrivateJob:
    """Implements `client.jobs.DurableJob`."""

    def __init__(self, launch: Launch) -> None:
        """Use `begin` or `take_up`."""
        self._settings = launch.settings
        self._launch = launch
        self._run = launch.run
        self._root = launch.root
        self.job = launch.run.number
        self.where = where_text(1, launch.slots.count, is_private=True)
        self.changed = asyncio.Event()
        self.on_output: Callable[[Output], None] | None = None
        self.error: CoveyError | None = None
        self.problems: list[CoveyError] = []
        self._held = 0
        self._durable = 0
        self._has_room = asyncio.Event()
        self._state = ""
        self._restarts = 0
        self._closing = False

    @classmethod
    async def begin(cls, launch: Launch, order: JobOrder) -> "PrivateJob":
        """Start a new job.

        Raises:
            CoveyError: its directory, ledger, bus or root process could not be made; nothing is
            left.
        """
        self = cls(launch)
        await self._start()
        for data in order.contexts.values():
            self._blobs.put(data)
        self._jobs.submit(secrets.token_hex(16), spec_to_wire(order.spec), lambda _: None)
        return self

    @classmethod
    async def take_up(cls, launch: Launch, *, has_more: bool = False) -> "PrivateJob":
        """Go on with an interrupted run: only what has no outcome is run.

        has_more: the caller hands over the rest of the items, and seals.

        Raises:
            JobNotFound: there is no such run, or it has ended.
            CoveyError: it could not be started, or it is alive.
        """
        self = cls(launch)
        job = self.job
        await self._start()
        if job not in self._jobs.restore():
            await self.close()
            raise JobNotFound(f"job {job} has nothing left to run", job=job)
        row = self._reader.job(job)
        self._held = self._durable = row.held
        if row.total is None and not has_more:
            # Nobody hands over more items: what is there is all.
            await self.seal()
        return self

    async def _start(self) -> None:
        try:
            await self._open()
        except BaseException:
            await asyncio.to_thread(self._launch.abandon)
            raise

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        self._ledger = Ledger.open(
            self._run.ledger_path, post=loop.call_soon_threadsafe, on_error=self._on_ledger_error
        )
        self._reader = LedgerReader(self._run.ledger_path, run=self._run.path)
        self._blobs = BlobStore(self._run.path / "blobs")
        payloads = LedgerPayloads(self._reader, self._blobs)
        term = self._ledger.raise_term()
        address = await self._root.ready()
        name = f"run-{self.job}"
        self._bus = await connect(address, name)
        core = SchedulerCore(
            name, secrets.token_hex(16), term, durable=True, rng=random.Random(secrets.randbits(64))
        )
        tracing = Tracing()
        self._service = SchedulerService(
            bus=self._bus,
            cluster=self._root.space,
            name=name,
            core=core,
            sink=self,
            payloads=payloads,
            recorder=LedgerRecorder(self._ledger, tracing),
            tracing=tracing,
        )
        self._jobs = DurableJobs(
            ledger=self._ledger,
            reader=self._reader,
            payloads=payloads,
            blobs=self._blobs,
            handle=self._service.handle,
            next_number=lambda: self.job,
        )
        await self._service.start()
        self._service.meet({AGENT: Member(self._root.key)})
        self._root.watch(self._on_serving, self._on_root_death)

    # ------------------------------------------------------------ DurableJob

    async def add(self, items: list[bytes]) -> None:
        """See `DurableJob`."""
        if self._state:
            return
        self._jobs.add(self.job, 1, self._held + 1, items, self._are_durable)
        self._held += len(items)
        while self._held - self._durable > WINDOW_ITEMS and self.error is None:
            self._has_room.clear()
            await self._has_room.wait()

    async def seal(self) -> None:
        """See `DurableJob`."""
        if not self._state:
            self._jobs.seal(self.job, self._held, lambda _: None)

    async def cancel(self, tasks: list[int]) -> None:
        """See `DurableJob`."""
        self._jobs.cancel(self.job, tasks)

    async def follow(self, task: int) -> None:
        """See `DurableJob`."""
        self._jobs.tail(self.job, task, on=True)

    def context(self) -> bytes:
        """The context of the job's first shape."""
        return self._blobs.read(self.row().spec.shapes[0].context)

    def rows(self, after_seq: int) -> list[OutcomeRow]:
        """See `DurableJob`."""
        return self._reader.outcomes(self.job, after_seq, PAGE_ROWS)

    def row(self) -> JobRow:
        """See `DurableJob`."""
        return self._reader.job(self.job)

    @property
    def trouble(self) -> str:
        """See `DurableJob`."""
        job = self._service.core.jobs.get(self.job)
        if job is None:
            return ""
        gate = held_back(job, self._service.core.roster, self._service.facts)
        return f"{WAITS}{gate}" if gate else ""

    def running(self) -> int:
        """See `DurableJob`."""
        job = self._service.core.jobs.get(self.job)
        if self.trouble or job is None:
            return int(self._service.facts(AGENT).get("busy", 0))
        # What the agent says of itself is up to a second old: it would be 0 in a short job.
        return min(len(job.running), self._launch.slots.count)

    def has_ended(self) -> bool:
        """See `DurableJob`."""
        return bool(self._state)

    async def close(self) -> None:
        """See `DurableJob`."""
        self._closing = True
        await self._service.close()
        await self._bus.close()
        await asyncio.to_thread(self._root.close)
        self._reader.close()
        try:
            await asyncio.to_thread(self._ledger.close)
        finally:
            self._run.close()
            self.problems = fold(self._settings.state_dir).problems

    # ------------------------------------------------------------ ports.Sink

    def resolved(
        self, job: int, ids: list[int], states: list[int], reports: list[bytes | None]
    ) -> None:
        """See `ports.Sink`."""
        self.changed.set()

    def job_ended(self, job: int, state: str) -> None:
        """See `ports.Sink`."""
        self._state = state
        self._jobs.ended(job)
        self.changed.set()

    def agent_changed(self, agent: str, state: str, reason: str) -> None:
        """See `ports.Sink`."""
        self.changed.set()

    def output(self, message: Output) -> None:
        """See `ports.Sink`."""
        if self.on_output is not None:
            self.on_output(message)

    def failed(self, error: CoveyError) -> None:
        """See `ports.Sink`."""
        self.error = error
        self._has_room.set()
        self.changed.set()

    # ------------------------------------------------------------ what may happen

    def _are_durable(self, held: int) -> None:
        self._durable = held
        self._has_room.set()

    def _on_ledger_error(self, error: CoveyError | None) -> None:
        if error is not None:
            self.failed(error)

    def _on_serving(self) -> None:
        self._service.handle(AgentKnown(AGENT))

    def _on_root_death(self) -> None:
        if self._closing:
            return
        self._restarts += 1
        if self._restarts > ROOT_RESTARTS_MAX:
            why = self._root.complaint
            told = f"the process that runs the tasks died again and again{why and f' ({why})'}"
            self.failed(StartFailed(told))
            return
        self._revival = asyncio.get_running_loop().create_task(self._revive())

    async def _revive(self) -> None:
        try:
            await asyncio.to_thread(self._root.restart)
            await self._root.ready()
        except CoveyError as error:
            self.failed(error)
            return
        except Exception as error:  # noqa: BLE001 - nobody else hears of it: the run would hang
            self.failed(CoveyError(f"a bug in covey: {error!r}"))
            return
        self._service.handle(PeerGone(AGENT))
        self._root.watch(self._on_serving, self._on_root_death)
