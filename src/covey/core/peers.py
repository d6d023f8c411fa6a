"""What an agent keeps for one scheduler: the session, its lines, its unrecorded outcomes."""

from dataclasses import dataclass, field
from typing import Any

from covey.core.claims import CLAIM_MAX
from covey.core.link import Link, body_bytes
from covey.core.reservations import Work
from covey.core.slots import Run
from covey.wire.messages import Finished, Frame, Grant, Hello, Welcome

#: Most outcomes of one scheduler that may wait to be recorded; beyond it nothing is claimed from
#: it.
UNRECORDED_MAX = 100_000
#: The same for the bytes of their reports.
UNRECORDED_MAX_BYTES = 64 * 1024 * 1024
#: So few batches, of at most 512 KiB each, are within UNRECORDED_MAX_BYTES without being counted.
UNCOUNTED_BATCHES = 128
#: Outcomes of short tasks gather for so long, or until there are so many, while more of them wait
#: here: a message costs each side more than such a task. The last one is told at once.
GATHER_S = 0.040
GATHER_MAX = 128
#: Most tasks in one `Finished`.
FINISHED_MAX = CLAIM_MAX


@dataclass(slots=True)
class Tally:
    """Attempts of one job and term that ended and are in no batch yet."""

    ids: list[int] = field(default_factory=list[int])
    ns: list[int] = field(default_factory=list[int])
    states: list[int] = field(default_factory=list[int])
    elapsed_s: float = 0.0


class Peer:
    """One scheduler, as its agent knows it.

    known: per (job, term), id -> n of the newest attempt that is queued, running or unrecorded
    here; a grant that is not newer is a copy. heard_at: when a frame of the session last came.
    """

    def __init__(self, name: str, hello: Hello, session: bytes, now: float) -> None:
        self.name = name
        self.incarnation = hello.incarnation
        self.works: dict[tuple[int, int], Work] = {}
        self.batches: dict[int, Finished] = {}
        self.unrecorded = 0
        #: Jobs that are over, but for attempts that still run here.
        self.closed: set[int] = set()
        self._known: dict[tuple[int, int], dict[int, int]] = {}
        self._tallies: dict[tuple[int, int], Tally] = {}
        self._last_batch = 0
        self._tallied = 0
        self._gathering: Work | None = None
        self._gather_until = 0.0
        self.open(hello, session, now)

    def open(self, hello: Hello, session: bytes, now: float) -> None:
        """Begin a new session; what was said in the old one and not acknowledged is void."""
        self.incarnation = hello.incarnation
        self.opening = hello.opening
        self.term = hello.term
        self.durable = hello.durable
        self.pulse_s = max(hello.pulse_s, 0.01)
        self.link = Link(session, now)
        self.welcome: Frame | None = None
        self.heard_at = now
        self.pulse_at = now + self.pulse_s
        self.is_away = False

    # -- grants

    def fresh(self, grant: Grant) -> tuple[list[int], list[int]]:
        """The attempts of a grant that are no copies; they are known from now on."""
        known = self._known.setdefault((grant.job, grant.term), {})
        ids, ns = grant.ids, grant.ns
        if not known.keys().isdisjoint(ids):
            pairs = [(i, n) for i, n in zip(ids, ns, strict=True) if known.get(i, 0) < n]
            ids, ns = [i for i, _ in pairs], [n for _, n in pairs]
        known.update(zip(ids, ns, strict=True))
        return ids, ns

    def newest(self, job: int, term: int, ids: list[int], ns: list[int]) -> list[int]:
        """Those of `ids` of which no newer attempt is here."""
        known = self._known.get((job, term), {})
        return [i for i, n in zip(ids, ns, strict=True) if known.get(i, n) == n]

    def forget_attempts(self, job: int, term: int, ids: list[int], ns: list[int]) -> None:
        """They are recorded, or nobody wants them."""
        known = self._known.get((job, term))
        if known is None:
            return
        for i, n in zip(ids, ns, strict=True):
            if known.get(i) == n:
                del known[i]
        if not known:
            del self._known[job, term]

    # -- outcomes

    def tally(
        self,
        key: tuple[int, int],
        ended: tuple[list[int], list[int], list[int]],
        elapsed_s: float,
        now: float = 0.0,
        more: Work | None = None,
    ) -> None:
        """Attempts (ids, ns, states) of a (job, term) ended; the next `cut` puts them into a batch.

        more: the line of short tasks that the next outcomes will come from; None = tell at once.
        """
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = Tally()
        tally.ids += ended[0]
        tally.ns += ended[1]
        tally.states += ended[2]
        tally.elapsed_s += elapsed_s
        if more is None:
            self._gather_until = 0.0
        elif not self._tallied:
            self._gather_until = now + GATHER_S
            self._gathering = more
        self._tallied += len(ended[0])
        self.unrecorded += len(ended[0])

    @property
    def has_tallies(self) -> bool:
        """Whether something ended that is in no batch yet."""
        return self._tallied > 0

    @property
    def wake_at(self) -> float:
        """When it has something to do: a pulse, outcomes that gathered, a frame to say again."""
        wake_at = self.pulse_at
        if self._tallied:
            wake_at = min(wake_at, self._gather_until)
        if (link_at := self.link.wake_at) is not None:
            wake_at = min(wake_at, link_at)
        return wake_at

    def must_tell(self, now: float) -> bool:
        """Whether what ended is told now: more of it is not to come soon, or enough gathered."""
        if not self._tallied:
            return False
        more = self._gathering is not None and self._gathering.queued > 0
        return not more or self._tallied >= GATHER_MAX or now >= self._gather_until

    def cut(self, free: int) -> list[Finished]:
        """Batches of all that was tallied; they are kept until `recorded`."""
        out: list[Finished] = []
        for (job, term), tally in self._tallies.items():
            total = len(tally.ids)
            for at in range(0, total, FINISHED_MAX):
                part = slice(at, at + FINISHED_MAX)
                ids = tally.ids[part]
                self._last_batch += 1
                batch = Finished(
                    batch=self._last_batch,
                    job=job,
                    term=term,
                    ids=ids,
                    ns=tally.ns[part],
                    states=tally.states[part],
                    elapsed_s=tally.elapsed_s * len(ids) / total,
                    free=free,
                )
                self.batches[batch.batch] = batch
                out.append(batch)
        self._tallies.clear()
        self._tallied = 0
        self._gathering = None
        return out

    def recorded(self, number: int) -> Finished | None:
        """Forget a batch; None = it is forgotten already."""
        batch = self.batches.pop(number, None)
        if batch is not None:
            self.unrecorded -= len(batch.ids)
            self.forget_attempts(batch.job, batch.term, batch.ids, batch.ns)
        return batch

    def why_not(self) -> str:
        """Why nothing may be claimed from it now; "" = it may."""
        if self.is_away:
            return "its scheduler is away"
        if self.link.backlog:
            return "its scheduler acknowledges too slowly"
        return "too many outcomes wait to be recorded" if self.is_full else ""

    @property
    def is_full(self) -> bool:
        """Whether so much is unrecorded that nothing more is claimed."""
        if self.unrecorded >= UNRECORDED_MAX:
            return True
        if len(self.batches) < UNCOUNTED_BATCHES:
            return False
        held = sum(body_bytes(batch) for batch in self.batches.values())
        return held >= UNRECORDED_MAX_BYTES

    # -- the session

    def greet(self, welcome: Welcome, now: float) -> list[Frame]:
        """Frame 1 of the session, and the unrecorded batches again without their claims."""
        frames = self.link.send(welcome, now)
        self.welcome = frames[0]
        for batch in self.batches.values():
            batch.shape = batch.room = 0
            batch.free = welcome.free
            frames += self.link.send(batch, now)
        return frames

    def holds(self) -> list[list[int]]:
        """[job, shape, count] of the reservations, for `Welcome`."""
        return [[w.job, w.shape, w.level] for w in self.works.values() if w.level]

    def running(self, runs: list[Run]) -> list[list[Any]]:
        """[job, term, ids, ns] granted and not ended, for `Welcome`."""
        out: list[list[Any]] = []
        for run in runs:
            if run.work.scheduler == self.name and not run.is_orphan:
                out.append([run.work.job, run.term, run.left(), run.ns[run.ended :]])
        for work in self.works.values():
            out += [[work.job, b.term, list(b.ids), list(b.ns)] for b in work.bound]
        return out

    def unrecorded_attempts(self) -> list[list[Any]]:
        """[job, term, ids, ns] of the unrecorded batches, for `Welcome`."""
        return [[b.job, b.term, b.ids, b.ns] for b in self.batches.values()]

    def check(self, runs: list[Run]) -> None:
        """The laws, as assertions. `runs`: what runs here for this scheduler."""
        told = sum(len(batch.ids) for batch in self.batches.values())
        assert self._tallied == sum(len(tally.ids) for tally in self._tallies.values())
        assert self.unrecorded == told + self._tallied
        assert not self._tallied or self._gathering is not None, "nothing tells of what ended"
        here: list[tuple[int, int, int, int]] = []
        for run in runs:
            pairs = zip(run.left(), run.ns[run.ended :], strict=True)
            here += [(run.work.job, run.term, i, n) for i, n in pairs]
        for work in self.works.values():
            assert work.queued == sum(len(bound.ids) for bound in work.bound)
            assert all(bound.ids for bound in work.bound)
            assert work.level >= 0
            for bound in work.bound:
                pairs = zip(bound.ids, bound.ns, strict=True)
                here += [(work.job, bound.term, i, n) for i, n in pairs]
        for job, term, i, n in here:
            assert self._known[job, term][i] >= n, "an attempt is here unknown"
        for (job, term), tally in self._tallies.items():
            here += [(job, term, i, n) for i, n in zip(tally.ids, tally.ns, strict=True)]
        for batch in self.batches.values():
            pairs = zip(batch.ids, batch.ns, strict=True)
            here += [(batch.job, batch.term, i, n) for i, n in pairs]
        assert len(here) == len(set(here)), "an attempt is here twice"
        for job, term, i, n in here:
            # An ended one may be recorded behind a newer one of its task.
            assert self._known.get((job, term), {}).get(i, n) >= n, "a newer attempt is forgotten"
