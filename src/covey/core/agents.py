"""One agent, as its scheduler sees it: its state, its session, what it holds and may be given."""

import math
from dataclasses import dataclass, field
from typing import Any

from covey.core.link import Link
from covey.model.agent_state import AgentState as AgentState
from covey.wire.messages import Recorded

#: What people are told of an agent that is ready and gets no more work.
DRAINING = "draining"
#: Seconds that an agent of which nothing is known yet is waited for; then a task that must not
#: wait for its machine (`JobSpec.on_lost` = fail) takes it for out of reach.
JOINING_MAX_S = 10.0


@dataclass(slots=True)
class Peer:
    """One agent, as its scheduler sees it."""

    name: str
    state: AgentState = AgentState.JOINING
    since: float = 0.0
    #: False: its owner took it down, so it is not asked for a session.
    is_wanted: bool = True
    #: A broken link proves nothing: see `AgentKnown`.
    is_far: bool = False
    #: Of its machine: see `model.constraint`.
    labels: tuple[str, ...] = ()
    #: It finishes what it has and is given no more.
    is_draining: bool = False
    opening: int = 0
    link: Link | None = None
    incarnation: str = ""
    #: 0 = it leaves.
    slots: int = 0
    #: Slots that it left free when it last spoke, less what was granted since: credit.
    free: int = 0
    #: Slots in which something ran when it last spoke, for whomever.
    busy: int = 0
    #: When it was last granted something: what it says just then may be of before.
    granted_at: float = -math.inf
    #: Tasks that it was granted and has not told the end of.
    out: int = 0
    #: (job, shape) -> tasks that a claim asked for and that were not there.
    parked: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])
    #: (job, shape) -> reservations that it holds for us, see `offers`.
    levels: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])
    described: dict[tuple[int, int], None] = field(default_factory=dict[tuple[int, int], None])
    #: Finished batches that are recorded, to be told.
    recorded: list[int] = field(default_factory=list[int])
    #: What goes along with the next message, see `Roster.send_along`.
    rider: Recorded | None = None
    ride_at: float = 0.0
    heard: float = 0.0
    nonce: int = 0
    pinged_at: float = 0.0
    rtt_s: float | None = None
    facts: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def is_ready(self) -> bool:
        """In session and not silent."""
        return self.state is AgentState.READY

    @property
    def is_crowded(self) -> bool:
        """When it last told: every slot was busy, and something waited."""
        busy, queued = self.facts.get("busy"), self.facts.get("queued")
        return isinstance(busy, int) and 0 < self.slots <= busy and bool(queued)

    @property
    def word(self) -> str:
        """Its state, for people."""
        return DRAINING if self.is_ready and not self.takes_work else str(self.state)

    @property
    def takes_work(self) -> bool:
        """Neither is it to finish what it has, nor does it leave by itself."""
        return not self.is_draining and self.slots > 0

    def forget_session(self) -> None:
        """Nothing that the session was about holds any more."""
        self.link = None
        self.free = self.out = 0
        self.parked.clear()
        self.levels.clear()
        self.described.clear()
        self.recorded.clear()
        self.rider = None
        self.nonce = 0
