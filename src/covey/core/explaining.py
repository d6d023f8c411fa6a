"""Why a task waits, in a sentence (invariant 11: whatever waits can say what for)."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from covey.core.candidates import candidates, is_constrained
from covey.core.gates import shut
from covey.core.jobs import Job, Lease
from covey.core.recovery import regrant_at
from covey.core.roster import ORPHAN_AFTER_S, AgentState, Peer, Roster
from covey.core.slots import ASIDE_MAX
from covey.model.constraint import NAMED_MAX, fits, unmet
from covey.model.job import Shape


def why(job: Job, task: int, roster: Roster, now: float) -> str:
    """What a task of a live job is waiting for, or where it runs.

    Args:
        job: which is not over.
        task: its number, from 1.
        roster: the agents.
        now: monotonic seconds.
    """
    lease = job.running.get(task)
    if lease is not None:
        peer = roster.peers[lease.agent]
        if peer.is_ready:
            return f"granted to {lease.agent} {now - lease.since:.0f} s ago"
        return f"{_silence(peer, now)}; {_patience(job, peer, 'the task', [lease], now)}"
    if task < 1 or task > job.held:
        return "there is no such task"
    if task in job.held_back:
        return "waits for agents to report whether they run it: the scheduler has just started"
    for shape, pending in job.pending.items():
        if task in pending:
            return _why_pending(job, shape, roster, now)
    return "has ended"


@dataclass(frozen=True, slots=True)
class Waiting:
    """Tasks of one shape that wait, all for the same."""

    tasks: int
    #: The lowest number among them.
    first: int
    why: str
    #: Nobody who is ready may run them, by their constraints or for want of slots.
    is_stuck: bool


def waiting(job: Job, roster: Roster, now: float) -> list[Waiting]:
    """What of a live job waits, and what for."""
    found: list[Waiting] = []
    if job.held_back.count:
        text = "wait for agents to report whether they run them: the scheduler has just started"
        found.append(Waiting(job.held_back.count, job.held_back.lowest(), text, False))
    for shape, pending in job.pending.items():
        if not pending.count:
            continue
        terms = job.shapes[shape]
        able = [roster.peers[name] for name in candidates(roster, terms)]
        is_stuck = bool(terms.slots) and (
            _are_too_small(able, terms.slots) if able else is_constrained(terms)
        )
        text = _why_pending(job, shape, roster, now)
        found.append(Waiting(pending.count, pending.lowest(), text, is_stuck))
    return found


def away(job: Job, roster: Roster, now: float) -> list[Waiting]:
    """What of a live job was granted to agents that do not answer, by agent."""
    found: list[Waiting] = []
    for peer in roster.peers.values():
        leases = [] if peer.is_ready else job.leases_of(peer.name)
        if leases:
            numbers, held = [task for task, _ in leases], [lease for _, lease in leases]
            what = "the task" if len(leases) == 1 else "the first of them"
            text = f"{_silence(peer, now)}; {_patience(job, peer, what, held, now)}"
            found.append(Waiting(len(leases), min(numbers), text, is_stuck=False))
    return found


def held_back(job: Job, roster: Roster, gauges: Callable[[str], Mapping[str, Any]]) -> str:
    """Why nothing more of a live job starts anywhere, by its gates; "" = something may, or runs.

    Args:
        job: which is not over.
        roster: the agents.
        gauges: load1, mem_free and busy of an agent, as far as they are known.
    """
    for terms in job.shapes.values():
        if not (terms.load_max or terms.memfree_bytes):
            continue
        known = [gauges(name) for name in candidates(roster, terms)]
        whys = [shut(terms, one.get("load1"), one.get("mem_free")) for one in known]
        # What was granted may run already, and then nothing waits.
        waits = job.waiting or not any(one.get("busy") for one in known)
        if whys and all(whys) and waits:
            return whys[0]
    return ""


@dataclass(frozen=True, slots=True)
class Absence:
    """What becomes of an unreachable agent and its tasks, unless it comes back."""

    #: Tasks that it was given and that have not ended.
    tasks: int
    #: Seconds until the first of them is granted elsewhere, or fails; None = all wait for it.
    regrant_in_s: float | None
    #: Seconds until the agent is taken for lost.
    lost_in_s: float

    def __str__(self) -> str:
        text = f"taken for lost in {self.lost_in_s:.0f} s"
        if not self.tasks:
            return text
        first = "none" if self.regrant_in_s is None else f"the first in {self.regrant_in_s:.0f} s"
        return f"{self.tasks} tasks wait for it, {first} is given up before; {text}"


def absence(peer: Peer, jobs: Iterable[Job], now: float) -> Absence | None:
    """The times of protocol rule 5 for an agent; None = it is not unreachable."""
    if peer.state is not AgentState.UNREACHABLE:
        return None
    tasks = 0
    times: list[float] = []
    for job in jobs:
        leases = [lease for _, lease in job.leases_of(peer.name)]
        tasks += len(leases)
        if job.spec.on_lost != "wait":
            times += [regrant_at(peer, lease) for lease in leases]
    first = max(0.0, min(times) - now) if times else None
    return Absence(tasks, first, max(0.0, peer.since + ORPHAN_AFTER_S - now))


def _silence(peer: Peer, now: float) -> str:
    silent = f", silent for {now - peer.heard:.0f} s" if peer.heard else ""
    return f"granted to {peer.name}, which is {peer.state}{silent}"


def _state(peer: Peer, now: float) -> str:
    is_silent = peer.state is AgentState.UNREACHABLE
    return f"{peer.word}, silent for {now - peer.heard:.0f} s" if is_silent else str(peer.word)


def _patience(job: Job, peer: Peer, what: str, leases: Iterable[Lease], now: float) -> str:
    lost_at = peer.since + ORPHAN_AFTER_S
    if job.spec.on_lost == "wait":
        left_s = max(0.0, lost_at - now)
        return f"the job waits until it comes back, or is taken for lost in {left_s:.0f} s"
    does = "fails" if job.spec.on_lost == "fail" else "is granted elsewhere"
    left_s = max(0.0, min(lost_at, *(regrant_at(peer, lease) for lease in leases)) - now)
    return f"{what} {does} in {left_s:.0f} s unless it comes back"


def _why_pending(job: Job, shape: int, roster: Roster, now: float) -> str:
    if not job.is_open:
        return f"is being cancelled: {job.reason or 'the job ends early'}"
    if now < job.next_start_at:
        return f"the job starts one task each {job.spec.start_delay_s:g} s"
    terms = job.shapes[shape]
    need = terms.slots
    ready = [roster.peers[name] for name in candidates(roster, terms)]
    if not ready:
        return _nobody(roster, terms, now)
    where = _named(terms, ready)
    if not need:
        return f"{ASIDE_MAX} tasks run aside of the slots already on {where}"
    if _are_too_small(ready, need):
        largest = max(ready, key=lambda peer: peer.slots)
        has = f"the largest machine, {largest.name}, has {largest.slots}"
        return f"needs {need} slots at once, and {has}"
    if terms.is_spread:
        return f"runs once at a time on each machine, and waits for one of {where}"
    silent = [
        peer
        for peer in roster.peers.values()
        if peer.state is AgentState.UNREACHABLE and fits(terms, peer.name, peer.labels)
    ]
    told = ", ".join(f"{peer.name} is {_state(peer, now)}" for peer in silent[:NAMED_MAX])
    return f"waits for a free slot on {where}{f'; {told}' if told else ''}"


def _are_too_small(peers: list[Peer], slots: int) -> bool:
    return all(peer.slots < slots for peer in peers)


def _nobody(roster: Roster, terms: Shape, now: float) -> str:
    peers = [peer for peer in roster.peers.values() if peer.state is not AgentState.LEFT]
    if not is_constrained(terms):
        states = ", ".join(f"{peer.name} is {_state(peer, now)}" for peer in peers)
        return f"no agent is ready ({states or 'none is known'})"
    fitting = [peer for peer in peers if fits(terms, peer.name, peer.labels)]
    if fitting:
        names, states = [peer.name for peer in fitting], [_state(peer, now) for peer in fitting]
    elif terms.machines:
        names, states = list(terms.machines), ["not known"] * len(terms.machines)
        known = {peer.name for peer in peers}
        if known.intersection(names):
            return unmet(terms, [(peer.name, peer.labels) for peer in peers])
    else:
        return unmet(terms, [(peer.name, peer.labels) for peer in peers])
    told = ", ".join(f"{n} is {state}" for n, state in zip(names, states, strict=True))
    return f"may run on {' or '.join(names)} only, and {told}"


def _named(terms: Shape, peers: list[Peer]) -> str:
    if len(peers) == 1 or (is_constrained(terms) and len(peers) <= NAMED_MAX):
        return ", ".join(peer.name for peer in peers)
    return f"{len(peers)} agents"
