"""Frames to bytes and back. Pure.

    payload = length of header (4 bytes, little-endian) | header | body
    header  = msgpack [session, seq, ack, tag, field, field, ...]

The fields stand in the order of the message's class; a field named `body` stands last in its
class and is not in the header but behind it, unread. Fields that the other side does not know are
cut off at the end, fields that are missing take their defaults: so optional fields may be added
at the end of a message.
"""

from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import lru_cache
from operator import attrgetter
from typing import Any, cast

from covey.errors import DecodeError
from covey.model.job import HaltPolicy, JobSpec, RetryPolicy, Shape
from covey.model.pack import pack, unpack
from covey.wire.messages import TAGS, Frame, Message

#: A header longer than this is refused before it is parsed: batches are capped far below.
HEADER_MAX_BYTES = 4 * 1024 * 1024

#: Shapes that are kept to be given out again.
_SHAPES_MAX = 256

#: Fields of a JobSpec that an older ledger does not have.
_ADDED_LATER = ("policy", "probe_ratio", "has_cancellation", "is_multi_get", "weight")

_TAG_OF = {cls: tag for tag, cls in TAGS.items()}


def _reader(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    if not names:
        return lambda _message: ()
    getter = attrgetter(*names)
    if len(names) == 1:
        return lambda message: (getter(message),)
    return getter


class _Layout:
    """How one message class is laid out: read off the dataclass once, at import."""

    __slots__ = ("cls", "count", "has_body", "has_terms", "needed", "read", "tag")

    def __init__(self, cls: type[Any], tag: int) -> None:
        names = [f.name for f in fields(cls)]
        self.cls = cls
        self.tag = tag
        self.has_body = bool(names) and names[-1] == "body"
        if self.has_body:
            names.pop()
        self.has_terms = "terms" in names
        self.count = len(names)
        self.needed = sum(
            f.default is MISSING and f.default_factory is MISSING
            for f in fields(cls)
            if f.name in names
        )
        self.read = _reader(names)


_BY_CLASS = {cls: _Layout(cls, tag) for cls, tag in _TAG_OF.items()}
_BY_TAG = {layout.tag: layout for layout in _BY_CLASS.values()}
_SHAPE_NAMES = [f.name for f in fields(Shape)]
_read_shape = attrgetter(*_SHAPE_NAMES)
#: Those of them that are a list on the wire and a tuple here.
_TUPLES = [_SHAPE_NAMES.index(name) for name in ("machines", "labels", "avoid")]


def encode(frame: Frame) -> bytes:
    """The bytes of a frame, unsigned."""
    message = frame.message
    layout = _BY_CLASS[type(message)]
    values = layout.read(message)
    if layout.has_terms:
        values = tuple(list(_read_shape(v)) if isinstance(v, Shape) else v for v in values)
    header = pack((frame.session, frame.seq, frame.ack, layout.tag, *values))
    body = cast(Any, message).body if layout.has_body else b""
    return b"".join((len(header).to_bytes(4, "little"), header, body))


def decode(data: bytes) -> Frame:
    """A frame out of its bytes.

    Raises:
        DecodeError: these bytes are no frame of this protocol.
    """
    try:
        length = int.from_bytes(data[:4], "little")
        if length > HEADER_MAX_BYTES or 4 + length > len(data):
            raise DecodeError("a message is cut short")
        head = cast(list[Any], unpack(data[4 : 4 + length]))
        session, seq, ack = head[0], head[1], head[2]
        layout = _BY_TAG[head[3]]
        values: list[Any] = head[4 : 4 + layout.count]
        if len(values) < layout.needed:
            raise DecodeError(f"a {layout.cls.__name__} lacks fields")
        if layout.has_terms:
            values = [_shape(cast(list[Any], v)) if isinstance(v, list) else v for v in values]
        if layout.has_body:
            message = layout.cls(*values, body=data[4 + length :])
        else:
            message = layout.cls(*values)
        if not (isinstance(session, bytes) and isinstance(seq, int) and isinstance(ack, int)):
            raise DecodeError("a frame has wrong types")
    except DecodeError:
        raise
    except Exception as error:  # hostile bytes can make msgpack raise anything
        raise DecodeError(f"a message cannot be read ({type(error).__name__})") from error
    return Frame(session, seq, ack, cast(Message, message))


def _shape(values: list[Any]) -> Shape:
    known = values[: len(_SHAPE_NAMES)]
    for at in _TUPLES:
        if at < len(known):
            known[at] = tuple(known[at])
    return _shape_of(*known)


# The same shape comes with each job of a program, and to make one sets thirty frozen fields.
# Typed: True and 1 are the same key otherwise.
_shape_of = lru_cache(maxsize=_SHAPES_MAX, typed=True)(Shape)


def cut(body: bytes, lens: list[int]) -> list[bytes]:
    """The pieces of `body` whose lengths are `lens`.

    Raises:
        DecodeError: the lengths do not add up.
    """
    pieces: list[bytes] = []
    at = 0
    for length in lens:
        pieces.append(body[at : at + length])
        at += length
    if at != len(body) or any(length < 0 for length in lens):
        raise DecodeError("the lengths of a body do not add up")
    return pieces


def shape_to_wire(shape: Shape) -> list[Any]:
    """A Shape as a plain list, for the ledger."""
    return list(_read_shape(shape))


def shape_from_wire(values: list[Any]) -> Shape:
    """The Shape that `shape_to_wire` wrote, by this covey or an older one."""
    return _shape(values)


def spec_to_wire(spec: JobSpec) -> dict[str, Any]:
    """A JobSpec as plain maps and lists, for `Submit` and for the ledger."""
    halt = spec.halt
    return {
        "name": spec.name,
        "user": spec.user,
        "retry": [spec.retry.starts_max, spec.retry.crash_limit],
        "halt": None if halt is None else [halt.when, halt.on, halt.count, halt.percent],
        "on_lost": spec.on_lost,
        "start_delay_s": spec.start_delay_s,
        "shapes": [list(_read_shape(shape)) for shape in spec.shapes],
        "client": spec.client,
        "policy": spec.policy,
        "probe_ratio": spec.probe_ratio,
        "has_cancellation": spec.has_cancellation,
        "is_multi_get": spec.is_multi_get,
        "weight": spec.weight,
    }


def spec_from_wire(plain: dict[str, Any]) -> JobSpec:
    """The JobSpec that `spec_to_wire` wrote.

    Raises:
        DecodeError: it is no job specification.
    """
    try:
        halt = plain.get("halt")
        return JobSpec(
            name=plain["name"],
            user=plain["user"],
            retry=RetryPolicy(*plain["retry"]),
            halt=None if halt is None else HaltPolicy(*halt),
            on_lost=plain["on_lost"],
            start_delay_s=plain["start_delay_s"],
            shapes=tuple(_shape(values) for values in plain["shapes"]),
            client=plain["client"],
            **{name: plain[name] for name in _ADDED_LATER if name in plain},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise DecodeError(f"a job specification cannot be read ({error})") from error
