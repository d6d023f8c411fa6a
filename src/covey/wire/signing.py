"""Who may be obeyed: every packet carries an HMAC-SHA-256. Pure.

    packet = kind (1 byte) | session (16 bytes) | mac (32 bytes) | content
    kind 0: content is a whole payload (`wire.codec`)
    kind 1: content is one part: seq (8) | index (2) | count (2) | slice of the payload

The key of a packet is derived (HKDF-Expand, RFC 5869 §2.3, one block) from the agent's own key
and everything that the packet must be bound to: direction, cluster, agent, scheduler, term and
session. The session is 16 random bytes that the agent draws for each `Welcome`, so a packet of an
earlier session, agent incarnation or term has another key; inside a session, `core.link` applies
each seq once. The bus credential alone makes nobody obeyed.

Limit: a `Hello` has no session yet and is bound to cluster, agent and scheduler only; replaying
one can open a session that the replayer cannot use.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from functools import lru_cache

from covey.errors import DecodeError, Forged

#: Bytes of a key of an agent, or of the head's submit key.
KEY_BYTES = 32
#: Parts of one frame; with parts of 512 KiB this bounds a frame to 64 MiB.
PARTS_MAX = 128

#: Bytes of a block of SHA-256.
_BLOCK_BYTES = 64
#: Keys whose blocks are kept hashed: two directions of some hundred agents.
_HASHED_MAX = 1024

#: What the bytes of a key are in its inner and in its outer block (RFC 2104: ipad and opad).
_INNER = bytes(byte ^ 0x36 for byte in range(256))
_OUTER = bytes(byte ^ 0x5C for byte in range(256))

_NO_SESSION = bytes(16)
_MAC_AT = 17
_CONTENT_AT = 49


@lru_cache(maxsize=_HASHED_MAX)
def _hashed(key: bytes):
    """The two blocks of a key, hashed."""
    assert len(key) <= _BLOCK_BYTES
    block = key.ljust(_BLOCK_BYTES, b"\0")
    return hashlib.sha256(block.translate(_INNER)), hashlib.sha256(block.translate(_OUTER))


def mac_of(key: bytes, *pieces: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104) of the pieces, with a key of at most 64 bytes.

    `hmac.digest` has OpenSSL look up its algorithm, and hashes the key, each time; on a cold cache
    that is five times as dear.
    """
    inner, outer = _hashed(key)
    inner, outer = inner.copy(), outer.copy()
    for piece in pieces:
        inner.update(piece)
    outer.update(inner.digest())
    return outer.digest()


def derive(key: bytes, *context: str | bytes) -> bytes:
    """A key bound to `context` (each piece is length-prefixed, so pieces cannot run together)."""
    info = b"".join(
        len(raw).to_bytes(4, "big") + raw
        for raw in (c.encode() if isinstance(c, str) else c for c in context)
    )
    return hmac.digest(key, info + b"\x01", "sha256")


@dataclass(frozen=True, slots=True)
class Context:
    """What the keys between an agent and a scheduler (or the head and a client) are bound to."""

    cluster: str
    #: The agent; for a client's requests, the head.
    agent: str
    #: The scheduler; for a client's requests, the client.
    scheduler: str
    term: int

    def key(self, base: bytes, direction: str, session: bytes) -> bytes:
        """Key for packets in `direction` ("down" to the agent, "up" from it, "hello")."""
        term = "" if direction == "hello" else str(self.term)
        return derive(
            base, "covey", direction, self.cluster, self.agent, self.scheduler, term, session
        )


def seal(payload: bytes, key: bytes, session: bytes, seq: int, part_max: int) -> list[bytes]:
    """The signed packets that carry `payload`.

    Raises:
        DecodeError: it would take more than PARTS_MAX parts.
    """
    session = session or _NO_SESSION
    if len(payload) <= part_max:
        return [b"".join((b"\0", session, mac_of(key, b"\0", payload), payload))]
    count = -(-len(payload) // part_max)
    if count > PARTS_MAX:
        raise DecodeError(f"a message of {len(payload)} bytes is too large to send")
    packets: list[bytes] = []
    for index in range(count):
        content = b"".join(
            (
                seq.to_bytes(8, "big"),
                index.to_bytes(2, "big"),
                count.to_bytes(2, "big"),
                payload[index * part_max : (index + 1) * part_max],
            )
        )
        packets.append(b"".join((b"\1", session, mac_of(key, b"\1", content), content)))
    return packets


def session_of(packet: bytes) -> bytes:
    """The session that a packet claims, b"" for none. Nothing is believed by reading it."""
    if len(packet) < _CONTENT_AT:
        raise DecodeError("a packet is cut short")
    session = packet[1:_MAC_AT]
    return b"" if session == _NO_SESSION else session


def is_signed(packet: bytes, key: bytes) -> bool:
    """Whether the signature of a packet is that of `key`."""
    mac = mac_of(key, packet[:1], packet[_CONTENT_AT:])
    return hmac.compare_digest(mac, packet[_MAC_AT:_CONTENT_AT])


@dataclass(slots=True)
class Assembler:
    """Checks packets of one peer and joins the parts of large frames; holds at most one frame's
    parts.
    """

    _seq: int = -1
    _parts: dict[int, bytes] = field(default_factory=dict[int, bytes])

    def open(self, packet: bytes, key: bytes) -> bytes | None:
        """The payload, or None while parts are missing.

        Raises:
            Forged: the signature does not match.
            DecodeError: the packet is malformed.
        """
        if not is_signed(packet, key):
            raise Forged
        kind = packet[:1]
        content = packet[_CONTENT_AT:]
        if kind == b"\0":
            return content
        if kind != b"\1" or len(content) < 12:
            raise DecodeError("a packet is of no known kind")
        seq = int.from_bytes(content[:8], "big")
        index = int.from_bytes(content[8:10], "big")
        count = int.from_bytes(content[10:12], "big")
        if not 0 < count <= PARTS_MAX or index >= count:
            raise DecodeError("a packet has an impossible part number")
        if seq != self._seq:
            self._seq, self._parts = seq, {}
        self._parts[index] = content[12:]
        if len(self._parts) < count:
            return None
        payload = b"".join(self._parts[i] for i in range(count))
        self._seq, self._parts = -1, {}
        return payload
