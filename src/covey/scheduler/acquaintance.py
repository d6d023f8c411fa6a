"""An agent, as the service of a scheduler knows it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from covey.bus.peer import Peer
from covey.files.transfer import Fetcher
from covey.model.reference import is_reference, read_reference
from covey.wire.messages import Fetch, Frame

#: Blobs that an agent may fetch; the oldest are forgotten (they were named long ago).
NAMED_MAX = 65_536
#: Contexts that went to an agent unasked and need not go again; it keeps more (`agent.parcels`),
#: and asks for those that it has not.
SENT_MAX = 128


@dataclass(slots=True)
class Acquaintance:
    """Its end of the line, and what it may fetch."""

    peer: Peer
    fetcher: Fetcher
    #: Digests that a description or a grant of ours named to this agent (protocol.md rule 39).
    contexts: dict[str, None] = field(default_factory=dict[str, None])
    payloads: dict[str, None] = field(default_factory=dict[str, None])
    #: Those that it was sent in `sent_in`, a session.
    sent: dict[str, None] = field(default_factory=dict[str, None])
    sent_in: bytes = b""
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
                _put(self.payloads, read_reference(piece)[0], NAMED_MAX)

    def name_context(self, digest: str, session: bytes) -> bool:
        """It may fetch this context. True: it was not sent it lately, so it goes along unasked.

        What is lost on the way, or no longer kept there, is asked for.
        """
        _put(self.contexts, digest, NAMED_MAX)
        if session != self.sent_in:
            self.sent_in = session
            self.sent.clear()
        if digest in self.sent:
            return False
        _put(self.sent, digest, SENT_MAX)
        return True


def acquainted(peer: Peer) -> Acquaintance:
    """An agent of which nothing is known yet; what is fetched from it is asked in its session."""

    def ask(fetch: Fetch) -> None:
        if peer.session:
            peer.send(Frame(peer.session, 0, 0, fetch))

    return Acquaintance(peer, Fetcher(ask))


def _put(digests: dict[str, None], digest: str, most: int) -> None:
    """As the newest; the oldest goes where there are too many."""
    digests.pop(digest, None)
    digests[digest] = None
    if len(digests) > most:
        del digests[next(iter(digests))]
