"""An agent, as the service of a scheduler knows it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from covey.bus.peer import Peer
from covey.files.transfer import Fetcher
from covey.model.reference import is_reference, read_reference
from covey.wire.messages import Fetch, Frame

#: Large payloads that an agent may fetch; the oldest are forgotten (they were granted long ago).
NAMED_MAX = 65_536


@dataclass(slots=True)
class Acquaintance:
    """Its end of the line, and what it may fetch."""

    peer: Peer
    fetcher: Fetcher
    #: Digests that a description or a grant of ours named to this agent (protocol.md rule 39).
    contexts: set[str] = field(default_factory=set[str])
    payloads: dict[str, None] = field(default_factory=dict[str, None])
    #: A `Finished` that waits for its large reports; the link repeats what comes meanwhile.
    held: Frame | None = None
    facts: dict[str, Any] = field(default_factory=dict[str, Any])

    def may_fetch(self, digest: str) -> bool:
        """Whether it was named to this agent."""
        return digest in self.contexts or digest in self.payloads

    def name_payloads(self, pieces: Iterable[bytes]) -> None:
        """It may fetch those of these payloads that do not ride in the grant."""
        for piece in pieces:
            if is_reference(piece):
                self.payloads[read_reference(piece)[0]] = None
        while len(self.payloads) > NAMED_MAX:
            del self.payloads[next(iter(self.payloads))]


def acquainted(peer: Peer) -> Acquaintance:
    """An agent of which nothing is known yet; what is fetched from it is asked in its session."""

    def ask(fetch: Fetch) -> None:
        if peer.session:
            peer.send(Frame(peer.session, 0, 0, fetch))

    return Acquaintance(peer, Fetcher(ask))
