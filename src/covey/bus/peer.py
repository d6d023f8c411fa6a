"""One remote party: its subject, its keys, and frames as signed packets in both directions."""

from covey.bus.port import Bus
from covey.errors import Forged, Stale
from covey.settings import MESSAGE_MAX_BYTES
from covey.wire.codec import decode, encode
from covey.wire.messages import Frame
from covey.wire.signing import Assembler, Context, is_signed, seal, session_of

#: Session keys that are kept per direction: the current session and the one before it.
_KEYS_MAX = 4
#: Earlier terms that a packet is checked for before it is called forged: who was late when a head
#: was started anew is no attacker.
TERMS_BACK_MAX = 4


class Peer:
    """Speaks to one agent, scheduler, head or client.

    directions: (what we send with, what we open with): ("down", "up") on the scheduler's side,
    ("up", "down") on the agent's, ("ask", "answer") for a client of the head and ("answer",
    "ask") for the head. A frame without a session goes and comes under "hello" between schedulers
    and agents.
    """

    def __init__(
        self,
        bus: Bus,
        *,
        base_key: bytes,
        context: Context,
        directions: tuple[str, str],
        subject: str,
        reply_to: str,
    ) -> None:
        self._bus = bus
        self._base_key = base_key
        self._out, self._in = directions
        self._subject = subject
        self._reply_to = reply_to
        self._context = context
        self._keys: dict[tuple[str, bytes], bytes] = {}
        self._assembler = Assembler()
        #: The session of the last frame that we sent in one.
        self.session = b""

    @property
    def term(self) -> int:
        """The scheduler's term that the keys are bound to."""
        return self._context.term

    def rebind(self, term: int) -> None:
        """From now on the scheduler's term is `term` (an agent learns it from `Hello`)."""
        if term != self._context.term:
            c = self._context
            self._context = Context(c.cluster, c.agent, c.scheduler, term)
            self._keys.clear()

    def send(self, frame: Frame) -> bool:
        """Sign and publish a frame; False when the bus did not take all of it (`Bus.publish`)."""
        if frame.session:
            self.session = frame.session
        key = self._key(self._out, frame.session)
        limit = min(MESSAGE_MAX_BYTES, self._bus.max_payload - 128)
        packets = seal(encode(frame), key, frame.session, frame.seq, limit)
        return all(self._bus.publish(self._subject, self._reply_to, packet) for packet in packets)

    def open(self, packet: bytes) -> Frame | None:
        """The frame in a packet, or None while its other parts are missing.

        Raises:
            Stale: the packet is of an earlier term, or comes before any `Hello` of its sender.
            Forged: the signature is wrong, or signs another session than the frame says.
            DecodeError: the bytes make no sense.
        """
        session = session_of(packet)
        try:
            payload = self._assembler.open(packet, self._key(self._in, session))
        except Forged as error:
            if self._is_late(packet, session):
                raise Stale("a packet of an earlier term") from error
            raise
        if payload is None:
            return None
        frame = decode(payload)
        if frame.session != session:
            raise Forged
        return frame

    def _is_late(self, packet: bytes, session: bytes) -> bool:
        if not session and self._in in ("down", "up"):
            return False  # Between schedulers and agents, it is not bound to a term.
        c = self._context
        terms = range(c.term - 1, max(0, c.term - 1 - TERMS_BACK_MAX), -1)
        contexts = (Context(c.cluster, c.agent, c.scheduler, term) for term in terms)
        # Without a term of its own yet, an agent cannot know.
        return c.term == 0 or any(
            is_signed(packet, context.key(self._base_key, self._in, session))
            for context in contexts
        )

    def _key(self, direction: str, session: bytes) -> bytes:
        if not session and direction in ("down", "up"):
            direction = "hello"
        key = self._keys.get((direction, session))
        if key is None:
            if len(self._keys) >= _KEYS_MAX:
                self._keys.clear()
            key = self._keys[direction, session] = self._context.key(
                self._base_key, direction, session
            )
        return key
