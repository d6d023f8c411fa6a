"""A durable job that the head owns: it goes on without us."""

import asyncio
import secrets
from collections.abc import Callable
from typing import Any

from covey.client.client import HeadLink
from covey.client.cluster import ProcessRecord, own_record
from covey.client.jobs import PAGE_ROWS, WAITS, JobOrder
from covey.client.reach import rows_of
from covey.client.whereabouts import where_of
from covey.errors import CoveyError, JobNotFound, NotUp, RequestTimeout
from covey.files.transfer import digest_of
from covey.model.job import FINAL_STATES, Shape
from covey.model.reference import make_reference
from covey.scheduler.rows import JobRow, OutcomeRow
from covey.settings import INLINE_MAX_BYTES, MESSAGE_MAX_BYTES, Settings
from covey.wire.codec import spec_to_wire
from covey.wire.messages import (
    AddItems,
    AddShape,
    Advanced,
    Cancel,
    Follow,
    Output,
    Put,
    Seal,
    Submit,
    ToHead,
    Watch,
)

#: A watch and a follow end by themselves after 30 s; renewing also says how many tasks run.
RENEW_EVERY_S = 1.0
#: What is said while the head does not answer.
AWAY = "the head does not answer; if it was killed, start it again with: covey up"
#: Items of a job with a shape for each that are on their way at once; the head remembers the
#: answers of more requests than that (`head.desk.ANSWERS_MAX`).
ASKED_AT_ONCE = 128
#: Bytes of a blob that are put in one request.
PUT_BYTES = MESSAGE_MAX_BYTES // 2


class HeadJob:
    """Implements `client.jobs.DurableJob`. Use `begin` or `attach`."""

    def __init__(self, settings: Settings, link: HeadLink, job: int) -> None:
        self._link = link
        self.job = job
        self.where = ""
        self.changed = asyncio.Event()
        self.on_output: Callable[[Output], None] | None = None
        self.error: CoveyError | None = None
        self.trouble = ""
        self.problems: list[CoveyError] = []
        #: Items are handed over by us, and not all of them are there.
        self._is_feeding = False
        self._reader = rows_of(settings)
        self._is_far = bool(settings.head)
        self._held = 0
        self._seq = 0
        self._busy = 0
        self._followed: set[int] = set()
        self._keeper: asyncio.Task[None] | None = None
        link.on_advanced = self._advanced
        link.on_output = self._hear

    @classmethod
    async def begin(cls, settings: Settings, order: JobOrder) -> "HeadJob":
        """Submit a new job.

        Raises:
            NotUp, BusUnavailable, RequestTimeout: the head cannot be reached.
            CoveyError: it refused the job.
        """
        link = await HeadLink.connect(settings)
        try:
            for data in order.contexts.values():
                await _put(link, data)
            key, spec = secrets.token_hex(16), spec_to_wire(order.spec)
            answer = await link.request(lambda nonce: Submit(nonce, key, spec))
            job = cls(settings, link, answer["job"])
            job._is_feeding = True
            return await job._begin()
        except BaseException:
            await link.close()
            raise

    @classmethod
    async def attach(cls, settings: Settings, job: int) -> "HeadJob":
        """Look on at a job that runs."""
        link = await HeadLink.connect(settings)
        return await cls(settings, link, job)._begin()

    async def _begin(self) -> "HeadJob":
        # Seen once, it can be told also while a far head is out of reach.
        row = self._reader.job(self.job)
        self.where = where_of(await self._link.ask("status"), row.spec)
        await self._watch()
        self._keeper = asyncio.get_running_loop().create_task(self._keep())
        return self

    # ------------------------------------------------------------ DurableJob

    async def put(self, data: bytes) -> None:
        """Hand over a blob: the context of a shape."""
        await _put(self._link, data)

    async def shape(self, number: int, terms: Shape) -> None:
        """One more shape; they are numbered as they come, after those of the specification."""
        await self._request(lambda nonce: AddShape(nonce, self.job, number, terms))

    async def add(self, items: list[bytes], shape: int = 1) -> None:
        """See `DurableJob`."""
        items = [await self._set_aside(i) if len(i) > INLINE_MAX_BYTES else i for i in items]
        while items:
            first = self._held + 1
            lens, body = [len(item) for item in items], b"".join(items)
            answer = await self._request(
                lambda nonce: AddItems(nonce, self.job, shape, first, lens, body)  # noqa: B023
            )
            taken = answer["held"] - self._held
            if answer.get("ended"):
                return
            self._held += max(0, taken)
            items = items[max(0, taken) :]

    async def add_each(self, items: list[bytes]) -> None:
        """Hand over one item for each shape of the job, in their order."""
        while self._held < len(items):
            first = self._held
            window = list(enumerate(items[first : first + ASKED_AT_ONCE], first + 1))
            answers = await asyncio.gather(*(self._add_one(shape, item) for shape, item in window))
            # One that was overtaken does not count, nor do those behind it.
            self._held = max(answer["held"] for answer in answers)
            if any(answer.get("ended") for answer in answers):
                return

    async def _add_one(self, shape: int, item: bytes) -> dict[str, Any]:
        return await self._request(
            lambda nonce: AddItems(nonce, self.job, shape, shape, [len(item)], item)
        )

    async def _set_aside(self, item: bytes) -> bytes:
        """What is too large for a message travels ahead, as a blob."""
        return make_reference(await _put(self._link, item), len(item))

    async def seal(self) -> None:
        """See `DurableJob`."""
        if not self.has_ended():
            try:
                await self._request(lambda nonce: Seal(nonce, self.job, self._held))
            except JobNotFound:
                # Sealed by a request whose answer was lost, or halted: it has ended since.
                if not self.has_ended():
                    raise
        self._is_feeding = False

    async def cancel(self, tasks: list[int]) -> None:
        """See `DurableJob`."""
        await self._link.request(lambda nonce: Cancel(nonce, self.job, tasks))

    async def follow(self, task: int) -> None:
        """See `DurableJob`."""
        self._followed.add(task)
        await self._link.request(lambda nonce: Follow(nonce, self.job, task, on=True))

    def rows(self, after_seq: int) -> list[OutcomeRow]:
        """See `DurableJob`."""
        return self._reader.outcomes(self.job, after_seq, PAGE_ROWS)

    def row(self) -> JobRow:
        """See `DurableJob`."""
        return self._reader.job(self.job)

    def running(self) -> int:
        """See `DurableJob`."""
        return self._busy

    def has_ended(self) -> bool:
        """See `DurableJob`."""
        return self.row().state in FINAL_STATES

    async def close(self) -> None:
        """See `DurableJob`."""
        if self._keeper is not None:
            self._keeper.cancel()
        self._reader.close()
        await self._link.close()

    # ------------------------------------------------------------ inside

    async def _request(self, make: Callable[[int], ToHead]) -> dict[str, Any]:
        """Repeated until it is answered: a head that was killed can be started again.

        Raises:
            NotUp: the cluster was taken down.
            CoveyError: the head refused.
        """
        while True:
            try:
                answer = await self._link.request(make)
            except RequestTimeout:
                self._note(AWAY)
            else:
                if self.trouble == AWAY:
                    self._note("")
                return answer

    def _note(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self.changed.set()

    async def _watch(self) -> str:
        """Renew the interest; why nothing of the job can run now, by its constraints."""
        if self._is_feeding:
            # Of a process elsewhere, only that it was heard of lately can be known.
            me = own_record() if not self._is_far else ProcessRecord(0, 0)
            await self._link.ask("feeding", job=self.job, pid=me.pid, started=me.started)
        answer = await self._link.request(lambda nonce: Watch(nonce, self.job, self._seq))
        self._busy = answer["running"]
        stuck = str(answer.get("stuck") or "")
        return f"{WAITS}{stuck}" if stuck else ""

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            try:
                stuck = await self._watch()
                for task in self._followed:
                    await self.follow(task)
            except NotUp as error:
                self.error = error
                self.changed.set()
            except CoveyError:
                # Rows are looked for anyway, and the head comes back under this address.
                self._note(AWAY)
            else:
                self._note(stuck)

    def _advanced(self, message: Advanced) -> None:
        if message.job == self.job:
            self._seq = max(self._seq, message.seq)
            self.changed.set()

    def _hear(self, message: Output) -> None:
        if message.job == self.job and self.on_output is not None:
            self.on_output(message)


async def _put(link: HeadLink, data: bytes) -> str:
    """Hands a blob to the head, piece by piece; its digest."""
    digest = digest_of(data)
    offset = 0
    while offset < len(data):
        piece = data[offset : offset + PUT_BYTES]
        answer = await link.request(
            lambda nonce: Put(nonce, digest, offset, len(data), piece)  # noqa: B023
        )
        offset = answer["held"]
    return digest
