"""Which agents may be given tasks of a shape: its pins, who drains, who can be reached."""

from covey.core.roster import AgentState, Peer, Roster
from covey.model.job import Shape

#: Seconds that an agent of which nothing is known yet is waited for; then a task that must not
#: wait for its machine (`JobSpec.on_lost` = fail) takes it for out of reach.
JOINING_MAX_S = 10.0

_OUT_OF_REACH = frozenset({AgentState.UNREACHABLE, AgentState.LOST, AgentState.LEFT})


def may_take(peer: Peer, terms: Shape) -> bool:
    """Whether the agent may be given tasks of this shape now, be its slots free or not."""
    if not peer.is_ready or (terms.machines and peer.name not in terms.machines):
        return False
    # Whoever looks after a machine (`run`) reaches it while it drains as well.
    return not peer.is_draining or (bool(terms.machines) and not terms.slots)


def candidates(roster: Roster, terms: Shape) -> list[str]:
    """The agents that may be given tasks of this shape now."""
    if not terms.machines:
        return roster.takers
    return [
        name
        for name in terms.machines
        if name in roster.peers and may_take(roster.peers[name], terms)
    ]


def is_stranded(roster: Roster, terms: Shape, now: float) -> bool:
    """Whether the shape names its machines, and none of them can be reached."""
    return bool(terms.machines) and all(
        _is_out_of_reach(roster.peers.get(name), now) for name in terms.machines
    )


def _is_out_of_reach(peer: Peer | None, now: float) -> bool:
    if peer is None or peer.state in _OUT_OF_REACH:
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
