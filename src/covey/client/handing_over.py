"""A handover: the calls of an Executor at one shared scheduler, from its first to its last word."""

import asyncio
import itertools
import logging
import secrets
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from covey.client.feed import Entry, Feed, Large, Options, Whole
from covey.client.pythons import shape_of_call
from covey.client.scheduler_links import SchedulerLinks
from covey.client.shared_job import SharedJob
from covey.errors import BlobMissing, CoveyError, JobNotFound
from covey.model.job import JobSpec, RetryPolicy
from covey.model.reference import make_reference
from covey.settings import MESSAGE_MAX_BYTES
from covey.wire.codec import spec_to_wire
from covey.wire.messages import AddItems, AddShape, Cancel, Put, Seal, Submit

log = logging.getLogger(__name__)

#: Calls, and bytes of their payloads, that are handed over in one request.
BATCH_CALLS = 2000
BATCH_BYTES = MESSAGE_MAX_BYTES // 2
#: Bytes of a blob that are put in one request.
PUT_BYTES = MESSAGE_MAX_BYTES // 2

#: Times that large arguments are put, when the scheduler forgot them before it got the calls.
PUTS_MAX = 3
#: Jobs that one probe asks after, at least. (An Executor has one or two.)
WATCHED_MIN = 16
#: … and of very many jobs, one in so many: the scheduler hears of each in a few seconds.
WATCHED_PART = 100

#: Hears which calls the scheduler does not accept, and why.
Refused = Callable[[list[int], CoveyError], None]


class Handover:
    """Hands calls to a scheduler as tasks of jobs: one per number of retries, and per `Whole`."""

    def __init__(
        self,
        number: int,
        name: str,
        feed: Feed,
        links: SchedulerLinks,
        entries: Mapping[int, Entry],
        refused: Refused,
    ) -> None:
        """Use `begin`.

        Args:
            number: of the handover.
            name: of the scheduler.
            feed: where functions are.
            links: speak to the scheduler.
            entries: calls by their numbers; one that is not there any more is not handed over.
            refused: hears which calls are not accepted.
        """
        self.number = number
        self.name = name
        self.jobs: dict[int, SharedJob] = {}
        self._feed = feed
        self._links = links
        self._entries = entries
        self._refused = refused
        #: By what their calls have in common.
        self._open_jobs: dict[int | Whole, SharedJob] = {}
        #: Jobs that probes have asked after.
        self._watched = 0
        #: Contexts that the scheduler has, or had.
        self._put: set[str] = set()
        self._leaving: deque[int] = deque()
        self._news = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, ids: list[int], on_forgotten: Callable[[], None]) -> None:
        """Hand over these calls, and all that come.

        on_forgotten: the scheduler does not know a job any more.
        """
        self.add(ids)
        self.keep(self._hand_over(on_forgotten))

    def add(self, ids: list[int]) -> None:
        """Hand over these calls, too."""
        self._leaving.extend(ids)
        self._news.set()

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this until the handover is over."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def job(self, name: str, number: int) -> SharedJob | None:
        """A job of ours; None: it is not of this handover."""
        return self.jobs.get(number) if name == self.name else None

    def probe(self, name: str) -> bool:
        """Ask for news of the jobs; False: there is none, or it is about another scheduler."""
        if name != self.name or not self.jobs:
            return False
        jobs = list(self.jobs.values())
        count = min(len(jobs), max(WATCHED_MIN, len(jobs) // WATCHED_PART))
        first = self._watched % len(jobs)
        for job in itertools.islice(itertools.cycle(jobs), first, first + count):
            self.watch(job)
        self._watched += count
        return True

    def watch(self, job: SharedJob) -> None:
        """Say which outcomes came."""
        job.told = job.seq
        self._links.watch(self.name, job.number, job.seq)

    def finish(self, job: SharedJob) -> None:
        """All of it came: the scheduler hears so, and forgets it."""
        self.watch(job)
        del self.jobs[job.number]

    def withdraw(self, ids: set[int]) -> None:
        """Nobody wants these calls any more."""
        for job in self.jobs.values():
            if tasks := job.tasks_of(ids):
                number = job.number
                self._links.tell(self.name, lambda nonce: Cancel(nonce, number, tasks))  # noqa: B023

    def give_up(self) -> None:
        """It is over: should the scheduler live, it is to stop what runs, and forget the rest."""
        for task in self._tasks:
            task.cancel()
        for number in self.jobs:
            self._links.tell(self.name, lambda nonce: Cancel(nonce, number))  # noqa: B023

    # ------------------------------------------------------------ handing over

    async def _hand_over(self, on_forgotten: Callable[[], None]) -> None:
        while True:
            self._news.clear()
            while self._leaving:
                ids, options, context = self._next_group()
                if not ids:
                    continue
                try:
                    await self._send(ids, options, context)
                except JobNotFound:
                    on_forgotten()
                    return
                except CoveyError as error:
                    self._refused(ids, error)
            log.info("scheduler %s has all calls", self.name)
            await self._news.wait()

    def _next_group(self) -> tuple[list[int], Options, str]:
        """The next calls of one kind that fit in one request."""
        ids: list[int] = []
        kind: tuple[str, Options] = ("", Options())
        size_bytes = 0
        while self._leaving and len(ids) < BATCH_CALLS and size_bytes < BATCH_BYTES:
            entry = self._entries.get(self._leaving[0])
            if entry is None:
                self._leaving.popleft()
                continue
            _, options, context, payload, _ = entry
            if ids and (context, options) != kind:
                break
            kind = context, options
            ids.append(self._leaving.popleft())
            size_bytes += len(payload) if isinstance(payload, bytes) else len(payload.digest)
        return ids, kind[1], kind[0]

    async def _send(self, ids: list[int], options: Options, context: str) -> None:
        """Hand over one group.

        Raises:
            JobNotFound: the scheduler does not know the job any more.
            CoveyError: it does not accept these calls.
        """
        kind = options.whole or options.retries
        job = self._open_jobs.get(kind) or await self._open(options)
        shape = await self._shape(job, context, options)
        for _ in range(PUTS_MAX):
            items = [(one, await self._item(one)) for one in ids]
            # What was cancelled meanwhile stays here.
            wanted = [(one, item) for one, item in items if one in self._entries]
            if not wanted:
                return
            try:
                await self._add(job, shape, *zip(*wanted, strict=True))
            except BlobMissing:
                # It needed the room while we were putting others: put them again.
                continue
            if job.held == job.total:
                del self._open_jobs[kind]
                await self._links.request(
                    self.name, lambda nonce: Seal(nonce, job.number, job.total)
                )
            return
        raise BlobMissing(f"scheduler {self.name} has no room for these large arguments")

    async def _add(
        self, job: SharedJob, shape: int, ids: tuple[int, ...], items: tuple[bytes, ...]
    ) -> None:
        # Before it is sent: outcomes may overtake the answer.
        first = job.number_calls(ids)
        lens, body = [len(item) for item in items], b"".join(items)
        try:
            answer = await self._links.request(
                self.name, lambda nonce: AddItems(nonce, job.number, shape, first, lens, body)
            )
        except CoveyError:
            job.take_back(first)
            raise
        if answer.get("ended"):
            raise JobNotFound(job=job.number)

    async def _item(self, one: int) -> bytes:
        """The payload of a call as it travels; a large one goes ahead."""
        entry = self._entries.get(one)
        if entry is None:
            return b""
        payload = entry[3]
        if isinstance(payload, Large):
            await self._put_blob(payload.data, payload.digest)
            return make_reference(payload.digest, len(payload.data))
        return payload

    async def _shape(self, job: SharedJob, context: str, options: Options) -> int:
        number = job.shapes.get((context, options))
        if number is None:
            terms = shape_of_call(self._feed, context, options)
            number = len(job.shapes) + 1
            await self._put_blob(self._feed.contexts[context], context)
            await self._links.request(
                self.name, lambda nonce: AddShape(nonce, job.number, number, terms)
            )
            job.shapes[context, options] = number
        return number

    async def _put_blob(self, data: bytes, digest: str) -> None:
        offset = 0
        while offset < len(data):
            piece = data[offset : offset + PUT_BYTES]
            answer = await self._links.request(
                self.name,
                lambda nonce: Put(nonce, digest, offset, len(data), piece),  # noqa: B023
            )
            offset = int(answer["held"])

    async def _open(self, options: Options) -> SharedJob:
        whole = options.whole
        if whole is None:
            spec = self._feed.place.placing.spec(retry=RetryPolicy(starts_max=options.retries + 1))
            job = SharedJob(await self._submit(spec))
        else:
            # What has ended at a scheduler before this one is not handed over again.
            total = whole.open
            job = SharedJob(await self._submit(whole.spec), total)
            job.shapes = {
                (terms.context, options): n for n, terms in enumerate(whole.spec.shapes, 1)
            }
        self._open_jobs[whole or options.retries] = self.jobs[job.number] = job
        # From now on it tells us of outcomes.
        self.watch(job)
        return job

    async def _submit(self, spec: JobSpec) -> int:
        contexts = {terms.context for terms in spec.shapes}
        for _ in range(PUTS_MAX):
            for digest in contexts - self._put:
                await self._put_blob(self._feed.contexts[digest], digest)
                self._put.add(digest)
            key, plain = secrets.token_hex(16), spec_to_wire(spec)
            try:
                answer = await self._links.request(
                    self.name,
                    lambda nonce: Submit(nonce, key, plain),  # noqa: B023
                )
            except BlobMissing:
                self._put -= contexts
                continue
            return int(answer["job"])
        raise BlobMissing(f"scheduler {self.name} has no room for what these calls need")
