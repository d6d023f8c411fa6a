"""What agents were told of jobs, and the reservations that they hold for us, found by job.

`Peer` has the same by agent. Whoever changes one changes the other here, so that nothing that is
done for one job looks at all agents.

Laws: an offer has the level of each peer that has one, their sum, and how many of them stand.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from covey.core.agents import Peer

#: Level of a standing reservation; and of one whose claim found nothing: it makes no more claims
#: until something is granted or enqueued there.
STANDING = -1
DORMANT = -2

#: (job, shape).
Key = tuple[int, int]


@dataclass(slots=True)
class Offer:
    """The reservations of one shape of a job: agent -> level, their sum, those that stand."""

    levels: dict[str, int] = field(default_factory=dict[str, int])
    held: int = 0
    standing: int = 0


_NOTHING = Offer()


class Offers:
    """All offers of a scheduler."""

    def __init__(self) -> None:
        self._offers: dict[Key, Offer] = {}
        self._told: dict[int, dict[str, None]] = {}

    def of(self, key: Key) -> Offer:
        """The reservations of a shape; not to be changed."""
        return self._offers.get(key, _NOTHING)

    def put(self, peer: Peer, key: Key, level: int) -> None:
        """Set what the agent holds; 0 = nothing."""
        offer = self._offers.get(key)
        if offer is None:
            if not level:
                return
            offer = self._offers[key] = Offer()
        before = peer.levels.get(key, 0)
        offer.held += max(0, level) - max(0, before)
        offer.standing += (level == STANDING) - (before == STANDING)
        if level:
            peer.levels[key] = offer.levels[peer.name] = level
        elif before:
            del peer.levels[key], offer.levels[peer.name]
            if not offer.levels:
                del self._offers[key]

    def tell(self, peer: Peer, key: Key) -> None:
        """The agent hears of a shape."""
        peer.described[key] = None
        self.know(peer, key[0])

    def know(self, peer: Peer, job: int) -> None:
        """The agent has heard of a job."""
        self._told.setdefault(job, {})[peer.name] = None

    def end(self, job: int) -> list[str]:
        """The job is over: the agents that heard of it."""
        return list(self._told.pop(job, ()))

    def forget(self, peer: Peer) -> None:
        """The session with an agent is over."""
        for key in list(peer.levels):
            self.put(peer, key, 0)
        for job in {key[0] for key in peer.described}:
            told = self._told.get(job)
            if told is not None:
                told.pop(peer.name, None)

    def check(self, peers: Iterable[Peer]) -> None:
        """The laws, as assertions."""
        by_key: dict[Key, dict[str, int]] = {}
        for peer in peers:
            for key, level in peer.levels.items():
                assert level, f"{peer.name} holds nothing, and that is kept"
                by_key.setdefault(key, {})[peer.name] = level
            for job, _ in peer.described:
                assert peer.name in self._told[job], f"{peer.name} knows job {job} secretly"
        assert by_key == {key: offer.levels for key, offer in self._offers.items()}
        for offer in self._offers.values():
            assert offer.held == sum(level for level in offer.levels.values() if level > 0)
            assert offer.standing == list(offer.levels.values()).count(STANDING)
