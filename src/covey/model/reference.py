"""A stand-in for bytes that are too large for a message: their digest and size. Pure.

41 bytes: `R` | sha256 (32) | size (8, big-endian). Payloads and reports never begin with `R`
otherwise.
"""

_LENGTH = 41


def make_reference(digest: str, size_bytes: int) -> bytes:
    """The reference to a blob. digest: sha256 in hex."""
    return b"R" + bytes.fromhex(digest) + size_bytes.to_bytes(8, "big")


def is_reference(piece: bytes) -> bool:
    """Whether a payload or report is a reference."""
    return piece[:1] == b"R" and len(piece) == _LENGTH


def read_reference(piece: bytes) -> tuple[str, int]:
    """The digest (hex) and the size in bytes that a reference names."""
    return piece[1:33].hex(), int.from_bytes(piece[33:], "big")
