"""msgpack, with types: the one place where its untyped functions are called. Pure.

Packs None, bool, int, float, str, bytes, lists, tuples (as lists) and maps. No extension types,
no dates.
"""

from typing import Any

import msgpack


def pack(value: Any) -> bytes:
    """The msgpack bytes of `value`.

    Raises:
        TypeError: a type that does not travel.
    """
    return msgpack.packb(value)  # pyright: ignore


def unpack(data: bytes | memoryview) -> Any:
    """The value whose msgpack bytes these are.

    Raises:
        ValueError: not msgpack (or more than one value).
    """
    return msgpack.unpackb(data, strict_map_key=False)  # pyright: ignore
