"""What `covey status` shows of a cluster."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from covey.client.cluster import ClusterFiles, Machine
from covey.core.agents import DRAINING, AgentState, Peer
from covey.core.explaining import absence, away, held_back, waiting
from covey.head.tunnels import TunnelKeeper
from covey.scheduler.service import SchedulerService

#: On a bus of the user's own.
NO_PERMISSIONS = (
    "this cluster uses a bus of yours with one credential for all: subject permissions are off, so"
    " a machine's credential reads what others are sent; only signed grants are obeyed all the same"
)
#: What is said of a machine whose reason nobody knows better.
_WHY = {
    AgentState.JOINING: "has not answered yet",
    AgentState.UNREACHABLE: "silent; its tasks are adopted if it comes back",
    AgentState.LOST: "dead or silent for long",
    AgentState.LEFT: "said goodbye",
}


def status_of(
    cluster: str,
    service: SchedulerService,
    files: ClusterFiles,
    tunnels: TunnelKeeper,
    *,
    reasons: Mapping[str, str],
    now: float,
    forged: int,
    stale: int,
    trouble: str,
) -> dict[str, Any]:
    """Machines with their figures, job counts, totals.

    reasons: why an agent is in the state that it is in. now: the loop's time.
    """
    peers = service.core.roster.peers
    machines: list[dict[str, Any]] = []
    for machine in files.machines():
        name, peer = machine.name, peers.get(machine.name)
        row = _machine(name, peer, service.facts(name), now) | _reached(machine)
        row |= tunnels.facts(name)
        machines.append(row | _why(machine, peer, row, reasons.get(name, ""), service, now))
    ready = [machine for machine in machines if machine["state"] == AgentState.READY]
    jobs = [job for job in service.core.jobs.values() if job.is_open]
    return {
        "cluster": cluster,
        "machines": machines,
        "jobs": {
            "open": len(jobs),
            "pending": sum(job.waiting for job in jobs),
            "running": sum(len(job.running) for job in jobs),
        },
        "stuck": [
            {"job": job.number, "tasks": one.tasks, "why": one.why}
            for job in jobs
            for one in waiting(job, service.core.roster, now)
            if one.is_stuck
        ]
        + [
            {"job": job.number, "tasks": job.waiting + len(job.running), "why": why}
            for job in jobs
            if (why := held_back(job, service.core.roster, service.facts))
        ],
        "totals": {
            "machines": len(machines),
            "ready": len(ready),
            "slots": sum(machine["slots"] for machine in ready),
            "busy": sum(machine["busy"] for machine in ready),
        },
        "schedulers": schedulers_of(files),
        "forged": forged,
        "stale": stale,
        "trouble": trouble,
        "notes": [] if files.address().is_ours else [NO_PERMISSIONS],
    }


def explained(service: SchedulerService, number: int, task: int, now: float) -> dict[str, Any]:
    """Why a job, or one task of it (0 = all), has not ended."""
    core = service.core
    job = core.jobs.get(number)
    gate = held_back(job, core.roster, service.facts) if job is not None else ""
    if task or job is None:
        why = core.explain(number, task, now)
        if gate and job is not None and task in job.running:
            why += f"; {gate}"
        return {"running": 0, "waiting": [], "why": why}
    gone = away(job, core.roster, now)
    waits = [
        {"tasks": one.tasks, "first": one.first, "why": one.why}
        for one in (*gone, *waiting(job, core.roster, now))
    ]
    running = len(job.running) - sum(one.tasks for one in gone)
    why = gate
    if not (waits or job.running):
        why = "all tasks that came have ended; its input is still open"
    return {"running": running, "waiting": waits, "why": why}


def stuck_of(service: SchedulerService, number: int, now: float) -> str:
    """Why nothing of a job can start now, by its gates or constraints ("" = something can)."""
    job = service.core.jobs.get(number)
    if job is None:
        return ""
    if (gate := held_back(job, service.core.roster, service.facts)) or job.running:
        return gate
    waits = waiting(job, service.core.roster, now)
    return waits[0].why if waits and all(one.is_stuck for one in waits) else ""


def schedulers_of(files: ClusterFiles) -> list[dict[str, Any]]:
    """The shared schedulers that run, and those that were killed."""
    return [
        {"name": name, "pid": one.pid, "state": "running" if one.is_alive else "killed"}
        for name, one in files.schedulers().items()
        # 0: it ended in order.
        if one.pid
    ]


def states_of(service: SchedulerService, tunnels: TunnelKeeper) -> dict[str, dict[str, Any]]:
    """Of each machine what somebody who waits for it must know."""
    return {
        name: {
            "state": str(peer.state),
            "incarnation": peer.incarnation,
            "busy": int(service.facts(name).get("busy", 0)),
            "why": tunnels.facts(name).get("tunnel_why", ""),
            "is_refused": tunnels.is_refused(name),
        }
        for name, peer in service.core.roster.peers.items()
    }


def _reached(machine: Machine) -> dict[str, Any]:
    """How the machine is reached."""
    host = machine.host
    return {
        "kind": machine.kind,
        "login": host.login if host is not None else "",
        "address": host.address if host is not None else "",
        "groups": list(machine.labels),
    }


def _why(
    machine: Machine,
    peer: Peer | None,
    row: Mapping[str, Any],
    reason: str,
    service: SchedulerService,
    now: float,
) -> dict[str, Any]:
    """Why it is not ready ("" = it is), and until when an unreachable one is waited for."""
    state = peer.state if peer is not None else AgentState.JOINING
    tunnel_why = str(row.get("tunnel_why") or "")
    if row["state"] == DRAINING:
        return {"why": f"finishes what it has; takes work again: covey drain --undo {machine.name}"}
    if state is AgentState.READY:
        return {"why": ""}
    again = "covey up --local" if machine.kind == "local" else f"covey up {machine.name}"
    why = tunnel_why or _WHY.get(state, "")
    if state is AgentState.JOINING and row.get("tunnel") == "idle":
        # As long as its `up` lasts; or that was killed.
        why = f"no agent was started there yet; if no covey up is under way: {again}"
    if state is AgentState.LEFT and "protocol" in reason:
        why = f"it {reason}; replace it with: {again}"
    elif state is AgentState.LOST and not tunnel_why:
        why = f"{why}; bring it back with: {again}"
    times = absence(peer, service.core.jobs.values(), now) if peer is not None else None
    if times is None:
        return {"why": why}
    return {**asdict(times), "why": f"{tunnel_why or 'silent'}; {times}"}


def _machine(name: str, peer: Peer | None, facts: dict[str, Any], now: float) -> dict[str, Any]:
    return {
        "name": name,
        "state": peer.word if peer is not None else str(AgentState.JOINING),
        "since_s": now - peer.since if peer is not None else 0.0,
        "slots": peer.slots if peer is not None else 0,
        "slots_from": facts.get("slots_from", ""),
        "busy": int(facts.get("busy", 0)),
        "queued": int(facts.get("queued", 0)),
        "load1": facts.get("load1", 0.0),
        "mem_free": facts.get("mem_free", 0),
        "disk_free": facts.get("disk_free", 0),
        "python": facts.get("python", ""),
        "platform": facts.get("platform", ""),
        "version": facts.get("version", ""),
        "directory": facts.get("directory", ""),
        "heartbeat_age_s": now - peer.heard if peer is not None and peer.heard else None,
        "latency_s": peer.rtt_s if peer is not None else None,
        "forged": facts.get("forged", 0),
        "stale": facts.get("stale", 0),
    }
