"""Who of the agents may be given tasks, counted when somebody asks: thousands join at once."""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

from covey.core.agents import Peer


@dataclass(frozen=True, slots=True)
class Pool:
    """Agents that may be given the same tasks, and their slots (at least 1)."""

    names: list[str] = field(default_factory=list[str])
    slots: int = 1

    @classmethod
    def of(cls, peers: Iterable[Peer]) -> "Pool":
        """These agents."""
        peers = list(peers)
        return cls([peer.name for peer in peers], max(1, sum(peer.slots for peer in peers)))


class Census:
    """The agents in session, and who of them takes work. `changed` voids all that was counted."""

    def __init__(self, peers: dict[str, Peer]) -> None:
        self._peers = peers
        self._is_counted = False
        self._ready: list[str] = []
        self._takers = Pool()
        self._pools: dict[Hashable, Pool] = {}
        self._busy = 0

    def changed(self) -> None:
        """An agent came or went, drains, or has other labels."""
        self._is_counted = False

    @property
    def ready(self) -> list[str]:
        """Agents in session."""
        self._count()
        return self._ready

    @property
    def takers(self) -> Pool:
        """Those of them that may be given any task."""
        self._count()
        return self._takers

    @property
    def pools(self) -> dict[Hashable, Pool]:
        """Those that may be given some tasks, as far as somebody asked; see `candidates`."""
        self._count()
        return self._pools

    @property
    def load(self) -> float:
        """Busy slots ÷ slots, as far as agents said."""
        return self._busy / self.takers.slots

    def heard_busy(self, peer: Peer, busy: int) -> None:
        """The agent said in how many slots something runs."""
        self._busy += busy - peer.busy
        peer.busy = busy

    def check(self) -> None:
        """Assert that what was counted still holds."""
        ready = [peer for peer in self._peers.values() if peer.is_ready]
        assert self.ready == [peer.name for peer in ready]
        assert self.takers == Pool.of([peer for peer in ready if peer.takes_work])
        assert self._busy == sum(peer.busy for peer in self._peers.values())

    def _count(self) -> None:
        if self._is_counted:
            return
        self._is_counted = True
        peers = [peer for peer in self._peers.values() if peer.is_ready]
        self._ready = [peer.name for peer in peers]
        self._takers = Pool.of([peer for peer in peers if peer.takes_work])
        self._pools = {}
