"""Why a task waits, in a sentence (invariant 11: whatever waits can say what for)."""

from covey.core.jobs import Job
from covey.core.recovery import regrant_at
from covey.core.roster import AgentState, Roster


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
        return f"{lease.agent} is {peer.state}; {_patience(job, regrant_at(peer, lease) - now)}"
    if task < 1 or task > job.held:
        return "there is no such task"
    if task in job.held_back:
        return "waits for agents to report whether they run it: the scheduler has just started"
    for shape, pending in job.pending.items():
        if task in pending:
            return _why_pending(job, shape, roster, now)
    return "has ended"


def _patience(job: Job, left_s: float) -> str:
    if job.spec.on_lost == "wait":
        return "the job waits until it comes back"
    what = "fails" if job.spec.on_lost == "fail" else "is granted elsewhere"
    return f"the task {what} in {max(0.0, left_s):.0f} s unless it comes back"


def _why_pending(job: Job, shape: int, roster: Roster, now: float) -> str:
    if not job.is_open:
        return f"is being cancelled: {job.reason or 'the job ends early'}"
    if now < job.next_start_at:
        return f"the job starts one task each {job.spec.start_delay_s:g} s"
    need = job.shapes[shape].slots
    ready = [roster.peers[name] for name in roster.ready]
    if not ready:
        states = ", ".join(
            f"{peer.name} is {peer.state}"
            for peer in roster.peers.values()
            if peer.state is not AgentState.LEFT
        )
        return f"no agent is ready ({states or 'none is known'})"
    if all(peer.slots < need for peer in ready):
        most = max(peer.slots for peer in ready)
        return f"needs {need} slots at once, and no agent has more than {most}"
    return f"waits for a free slot on {len(ready)} agents"
