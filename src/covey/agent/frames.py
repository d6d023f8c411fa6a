"""What an agent and a slot child say to each other: frames on a socket, marks in a page.

The socket carries frames, each `length u32 | kind u8 | content`:

    agent -> child   CHUNK  serial u64, meta length u32, meta (msgpack), payloads
                     POKE   nothing: look at the strikes
    child -> agent   ENDED  serial, base, count, begin, until, then `count` entries

The page is memory that both see; it costs no system call, and outlives the child:

    0     mark      serial, number of the task in the chunk (from 1), its start
    24    buffer    serial, base, count, end, begin of the results that were not yet sent
    64    captures  descriptors of the child's capture files (out, err), for a tail
    128   strikes   a byte per task of the chunk; not 0 = do not start it, end it with that state
    4096  area      the results that were not yet sent, as entries

An entry is `state u8 | length u32 | report`. Results are numbered within their chunk: `base`
counts those before the first of the buffer, so a result that the agent fetched out of the page and
then receives by the socket as well counts once. Times are CLOCK_MONOTONIC seconds, which all
processes share.
"""

import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from covey.errors import DecodeError
from covey.model.pack import pack, unpack

CHUNK = 1
POKE = 2
ENDED = 3

HEAD = struct.Struct("<IB")
MARK = struct.Struct("<qqd")
BUFFER = struct.Struct("<qqqqd")
BUFFER_AT = 24
CAPTURES = struct.Struct("<ii")
CAPTURES_AT = 64
STRIKES_AT = 128
AREA_AT = 4096
PAGE_BYTES = 128 * 1024
#: Results of a chunk that may wait in the page, in bytes.
AREA_BYTES = PAGE_BYTES - AREA_AT
#: Tasks of one chunk: each needs its strike.
CHUNK_TASKS_MAX = AREA_AT - STRIKES_AT

ENTRY = struct.Struct("<BI")
_BATCH = struct.Struct("<qqqdd")
_CHUNK = struct.Struct("<qI")
_ENDED_HEAD = struct.Struct("<IBqqqdd")

POKE_FRAME = HEAD.pack(0, POKE)


@dataclass(slots=True)
class Work:
    """A chunk as the child sees it: what is alike for all its tasks, and their payloads."""

    kind: str
    slot: int
    digest: str
    #: Bytes of the context, or b"" when the child has it already.
    context: bytes
    #: Digests of contexts that the child may forget.
    drop: list[str]
    workdir: str
    capture_dir: str
    has_capture: bool
    time_limit_s: float
    output_max_bytes: int
    nice: int
    job: int
    env: dict[str, str]
    ids: Sequence[int]
    ns: Sequence[int]
    serial: int = 0
    #: The computer whose callers' directories and environments are found here; "" = nobody's.
    here: str = ""
    #: See `order.StartOrder`.
    cache_dir: str = ""
    payloads: Sequence[bytes | memoryview] = field(default_factory=list[bytes])


#: Fields of `Work` that are sent as they are; env holds any bytes and goes apart.
_SHARED = [
    "kind",
    "slot",
    "digest",
    "context",
    "drop",
    "workdir",
    "capture_dir",
    "has_capture",
    "time_limit_s",
    "output_max_bytes",
    "nice",
    "job",
    "here",
    "cache_dir",
]


def encode_work(work: Work) -> bytes:
    """The CHUNK frame of a chunk."""
    shared: list[Any] = [getattr(work, name) for name in _SHARED]
    env = {_raw(name): _raw(value) for name, value in work.env.items()}
    lens = array("I", [len(p) for p in work.payloads])
    columns = [array("q", work.ids).tobytes(), array("q", work.ns).tobytes(), lens.tobytes()]
    meta = pack([shared, env, columns])
    parts = [b"", _CHUNK.pack(work.serial, len(meta)), meta, *work.payloads]
    parts[0] = HEAD.pack(_CHUNK.size + len(meta) + sum(lens), CHUNK)
    return b"".join(parts)


def decode_work(content: memoryview) -> Work:
    """The chunk in the content of a CHUNK frame; its payloads are views of `content`."""
    serial, size = _CHUNK.unpack_from(content)
    at = _CHUNK.size + size
    (*shared, here, cache_dir), env, (ids, ns, lens) = unpack(content[_CHUNK.size : at])
    payloads: list[memoryview] = []
    for length in array("I", lens):
        payloads.append(content[at : at + length])
        at += length
    return Work(
        *shared,
        env={_text(name): _text(value) for name, value in env.items()},
        ids=array("q", ids),
        ns=array("q", ns),
        serial=serial,
        here=here,
        cache_dir=cache_dir,
        payloads=payloads,
    )


def ended_head(serial: int, base: int, count: int, begin: float, until: float, size: int) -> bytes:
    """What stands before the `size` bytes of entries of an ENDED frame."""
    return _ENDED_HEAD.pack(_BATCH.size + size, ENDED, serial, base, count, begin, until)


def read_ended(content: memoryview) -> tuple[int, int, int, float, float, memoryview]:
    """(serial, base, count, begin, until, entries) of the content of an ENDED frame.

    Raises:
        DecodeError: it is too short.
    """
    if len(content) < _BATCH.size:
        raise DecodeError(f"a batch of results has {len(content)} bytes")
    serial, base, count, begin, until = _BATCH.unpack_from(content)
    return serial, base, count, begin, until, content[_BATCH.size :]


def read_entries(entries: memoryview, count: int, skip: int) -> tuple[list[int], list[bytes]]:
    """States and reports of `count` entries, without the first `skip`.

    Raises:
        DecodeError: the entries end early.
    """
    states: list[int] = []
    reports: list[bytes] = []
    at = 0
    read, width = ENTRY.unpack_from, ENTRY.size
    try:
        for number in range(count):
            state, size = read(entries, at)
            at += width
            if number >= skip:
                states.append(state)
                reports.append(bytes(entries[at : at + size]))
            at += size
    except struct.error as error:
        raise DecodeError(f"results of a child end early: {error}") from error
    if at > len(entries):
        raise DecodeError(f"results of a child end early: {at} of {len(entries)} bytes")
    return states, reports


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
