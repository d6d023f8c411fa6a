"""What `covey status` shows of a cluster."""

from dataclasses import asdict
from typing import Any

from covey.client.cluster import ClusterFiles
from covey.core.explaining import absence
from covey.core.roster import AgentState, Peer
from covey.head.tunnels import TunnelKeeper
from covey.scheduler.service import SchedulerService

_WHY = {
    AgentState.JOINING: "has not answered yet",
    AgentState.UNREACHABLE: "silent; its tasks are adopted if it comes back",
    AgentState.LOST: "dead or silent for long; bring it back with: covey up --local",
    AgentState.LEFT: "said goodbye",
}


def status_of(
    cluster: str,
    service: SchedulerService,
    files: ClusterFiles,
    tunnels: TunnelKeeper,
    *,
    now: float,
    forged: int,
    trouble: str,
) -> dict[str, Any]:
    """Machines with their figures, job counts, totals. `now`: the loop's time."""
    peers = service.core.roster.peers
    machines = [
        _machine(machine.name, peers.get(machine.name), service.facts(machine.name), now)
        | _absence(peers.get(machine.name), service, now)
        for machine in files.machines()
    ]
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
        "totals": {
            "machines": len(machines),
            "ready": len(ready),
            "slots": sum(machine["slots"] for machine in ready),
            "busy": sum(machine["busy"] for machine in ready),
        },
        "forged": forged,
        "trouble": trouble,
    }


def states_of(service: SchedulerService, tunnels: TunnelKeeper) -> dict[str, dict[str, Any]]:
    """Of each machine what somebody who waits for it must know."""
    return {
        name: {
            "state": str(peer.state),
            "incarnation": peer.incarnation,
            "busy": int(service.facts(name).get("busy", 0)),
            "why": tunnels.facts(name).get("tunnel_why", ""),
        }
        for name, peer in service.core.roster.peers.items()
    }


def _absence(peer: Peer | None, service: SchedulerService, now: float) -> dict[str, Any]:
    """Until when an unreachable machine is waited for."""
    times = absence(peer, service.core.jobs.values(), now) if peer is not None else None
    if times is None:
        return {}
    return {**asdict(times), "why": f"silent; {times}"}


def _machine(name: str, peer: Peer | None, facts: dict[str, Any], now: float) -> dict[str, Any]:
    state = peer.state if peer is not None else AgentState.JOINING
    why = _WHY.get(state, "")
    return {
        "name": name,
        "state": peer.word if peer is not None else str(state),
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
        "why": why,
    }
