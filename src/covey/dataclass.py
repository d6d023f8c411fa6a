"""`dataclass` as in the standard library, at a tenth of its cost: a third of each start was that.

The standard one compiles up to seven methods of every class, which takes some 0.7 ms; covey has
over two hundred such classes, and each of its processes imports most of them. Here `__init__` is
compiled when the first object is made, and the rest is functions that look at the fields. The
fields are made by the standard library, so `fields`, `replace`, `asdict` and pattern matching know
these classes.
"""

import dataclasses
import operator
import sys
from collections.abc import Callable
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")

_MISSING: Any = dataclasses.MISSING
_set = object.__setattr__


def _made(cls: type[T], is_frozen: bool, has_slots: bool, has_eq: bool) -> type[T]:
    # Where there is none, the standard library works out a signature to have one.
    cls.__doc__ = cls.__doc__ or cls.__name__
    own = {name for name, value in cls.__dict__.items() if name != "__hash__" or value is not None}
    make: Any = dataclasses.dataclass(init=False, repr=False, eq=False, slots=has_slots)
    made: Any = make(cls)
    new: dict[str, object] = {"__init__": _first_init(made, is_frozen), "__repr__": _repr}
    if has_eq:
        new |= _comparing([one.name for one in dataclasses.fields(made) if one.compare])
        if not is_frozen:
            new["__hash__"] = None
    if is_frozen:
        new |= {"__setattr__": _refuse, "__delattr__": _refuse}
        if has_slots:
            new |= {"__getstate__": _state, "__setstate__": _restore}
    for name in new.keys() - own:
        setattr(made, name, new[name])
    return made


def _first_init(made: Any, is_frozen: bool) -> Callable[..., None]:
    """An `__init__` that puts the compiled one in its place."""

    def first_init(self: object, *args: object, **named: object) -> None:
        if made.__init__ is first_init:
            made.__init__ = _compiled_init(made, is_frozen)
        made.__init__(self, *args, **named)

    return first_init


def _compiled_init(made: Any, is_frozen: bool) -> Callable[..., None]:
    known: dict[str, Any] = {"_set": _set, "_missing": _MISSING}
    words = ["self"]
    lines: list[str] = []
    for one in dataclasses.fields(made):
        name = value = word = one.name
        if one.default_factory is not _MISSING:
            known[f"_make_{name}"] = one.default_factory
            word, value = f"{name}=_missing", f"_make_{name}()"
            if one.init:
                value += f" if {name} is _missing else {name}"
        elif one.default is not _MISSING:
            known[f"_else_{name}"] = one.default
            word, value = f"{name}=_else_{name}", name if one.init else f"_else_{name}"
        if one.init:
            words.append(word)
        elif value == name:
            # Whoever makes the object gives it that one later.
            continue
        lines.append(f"_set(self, {name!r}, {value})" if is_frozen else f"self.{name} = {value}")
    if hasattr(made, "__post_init__"):
        lines.append("self.__post_init__()")
    body = "\n  ".join(lines or ["pass"])
    text = f"def make({', '.join(known)}):\n def __init__({', '.join(words)}):\n  {body}\n"
    space: dict[str, Any] = {}
    exec(f"{text} return __init__", vars(sys.modules[made.__module__]), space)
    init = space["make"](**known)
    init.__qualname__ = f"{made.__qualname__}.__init__"
    return init


def _comparing(names: list[str]) -> dict[str, object]:
    """`__eq__` and `__hash__` of a class with these fields."""
    # Always two at least: a getter of one gives no tuple, and one of none there is not.
    read: Callable[[Any], tuple[Any, ...]]
    read = operator.attrgetter(*(names if len(names) > 1 else (names or ["__class__"]) * 2))

    def is_equal(self: object, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return read(self) == read(other)

    def hash_of(self: object) -> int:
        return hash(read(self))

    return {"__eq__": is_equal, "__hash__": hash_of}


@recursive_repr()
def _repr(self: Any) -> str:
    fields = [one.name for one in dataclasses.fields(self) if one.repr]
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in fields)
    return f"{self.__class__.__qualname__}({shown})"


def _refuse(self: object, name: str, *_: object) -> None:
    what = f"field {name!r} of a {self.__class__.__name__} cannot be changed"
    raise dataclasses.FrozenInstanceError(what)


def _state(self: Any) -> list[Any]:
    """What is pickled or copied: the same as the standard library's."""
    return [getattr(self, one.name) for one in dataclasses.fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for one, value in zip(dataclasses.fields(self), state, strict=True):
        _set(self, one.name, value)


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, slots=False, eq=True):
        """See `dataclasses.dataclass`; of its options, those that covey uses."""

        def make(cls: type[T]) -> type[T]:
            return _made(cls, frozen, slots, eq)

        return make if cls is None else make(cls)
