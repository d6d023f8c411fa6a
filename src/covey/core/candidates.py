"""Which agents may be given tasks of a shape: its constraints, who drains, who can be reached."""

from covey.core.agents import JOINING_MAX_S as JOINING_MAX_S
from covey.core.census import Pool
from covey.core.roster import AgentState, Peer, Roster
from covey.model.constraint import fits
from covey.model.job import Shape

_OUT_OF_REACH = frozenset({AgentState.UNREACHABLE, AgentState.LOST, AgentState.LEFT})


def is_constrained(terms: Shape) -> bool:
    """Whether the shape says where its tasks may run."""
    return bool(terms.machines or terms.labels or terms.avoid)


def may_take(peer: Peer, terms: Shape) -> bool:
    """Whether the agent may be given tasks of this shape now, be its slots free or not."""
    if not peer.is_ready or (is_constrained(terms) and not fits(terms, peer.name, peer.labels)):
        return False
    # Whoever looks after a machine (`run`) reaches it while it drains as well.
    return peer.takes_work or (bool(terms.machines) and not terms.slots)


def pool_of(roster: Roster, terms: Shape) -> Pool:
    """The agents that may be given tasks of this shape now; looked up, not counted."""
    if not is_constrained(terms):
        return roster.census.takers
    key = (terms.machines, terms.labels, terms.avoid, terms.slots > 0)
    pool = roster.census.pools.get(key)
    if pool is None:
        names = terms.machines or roster.census.ready
        peers = [roster.peers[name] for name in names if name in roster.peers]
        pool = roster.census.pools[key] = Pool.of([peer for peer in peers if may_take(peer, terms)])
    return pool


def candidates(roster: Roster, terms: Shape) -> list[str]:
    """The agents that may be given tasks of this shape now."""
    return pool_of(roster, terms).names


def is_stranded(roster: Roster, terms: Shape, now: float) -> bool:
    """Whether the shape says where it may run, and nobody there can be reached."""
    if terms.machines:
        peers = [roster.peers.get(name) for name in terms.machines]
        return all(
            peer is None or _is_out_of_reach(peer, now) or not fits(terms, peer.name, peer.labels)
            for peer in peers
        )
    return is_constrained(terms) and not any(
        fits(terms, peer.name, peer.labels) and not _is_out_of_reach(peer, now)
        for peer in roster.peers.values()
    )


def _is_out_of_reach(peer: Peer, now: float) -> bool:
    if peer.state in _OUT_OF_REACH:
        return True
    return peer.state is AgentState.JOINING and now >= peer.since + JOINING_MAX_S


def next_given_up(roster: Roster, now: float) -> float | None:
    """When the next agent that is joining is taken for out of reach; None = none is joining."""
    times = [
        peer.since + JOINING_MAX_S
        for peer in roster.peers.values()
        if peer.state is AgentState.JOINING
    ]
    return min((at for at in times if at > now), default=None)
