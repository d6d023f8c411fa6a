"""covey's dataclass and the standard library's: whatever is made with one is as with the other."""

import copy
import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from covey import dataclass as ours
from covey.testing.waiting import COMMAND_MAX_S

Maker = Callable[..., Any]
MAKERS: list[Maker] = [dataclasses.dataclass, ours.dataclass]


@ours.dataclass(frozen=True, slots=True)
class Kept:
    """Pickled by its name, so it is one of a module."""

    name: str
    size: int = 3


@ours.dataclass(slots=True)
class Changed:
    """The same, that may change."""

    name: str
    words: list[str] = dataclasses.field(default_factory=list[str])


def _classes(make: Maker) -> list[Any]:
    """The same classes, of every kind that covey has."""

    @make(frozen=True, slots=True)
    class Empty: ...

    @make(frozen=True, slots=True)
    class One:
        x: float

    @make(frozen=True, slots=True)
    class Frozen:
        """Documented."""

        x: int
        secret: str = dataclasses.field(default="s", repr=False)
        words: tuple[str, ...] = ()
        made: dict[str, int] = dataclasses.field(default_factory=dict[str, int], compare=False)
        LIMIT: ClassVar[int] = 7

        def doubled(self) -> int:
            return 2 * self.x

    @make(slots=True)
    class Mutable:
        x: int
        words: list[str] = dataclasses.field(default_factory=list[str])
        later: int = dataclasses.field(init=False, repr=False, compare=False)
        fixed: int = dataclasses.field(init=False, default=4)

    @make(slots=True)
    class Derived(Mutable):
        y: int = 5

    @make(slots=True, eq=False)
    class Identical:
        x: int

    @make
    class Open:
        x: int
        total: int = 0

        def __post_init__(self) -> None:
            self.total = self.x + 1

    @make(frozen=True, slots=True)
    class Own:
        x: int

        def __repr__(self) -> str:
            return "mine"

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 12

    return [Empty, One, Frozen, Mutable, Derived, Identical, Open, Own]


def _pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


PAIRS = list(zip(*map(_classes, MAKERS), strict=True))
NAMES = [one.__name__ for one, _ in PAIRS]


def _outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - both are to fail alike
        return type(error)


def _looks(kind: Any, *args: Any, **named: Any) -> list[Any]:
    """All that can be seen of an object, and how what cannot be done fails."""
    value = _outcome(lambda: kind(*args, **named))
    if isinstance(value, type):
        return [value]
    again, other = kind(*args, **named), Kept("other")
    text = repr(value).replace("_classes.<locals>.", "")
    seen = [text if "0x" not in text else "", value == again, value == other, value != again]
    seen += [_outcome(lambda: hash(value) == hash(again)), value.__doc__ is not None]
    seen += [[(f.name, f.type, f.init, f.repr) for f in dataclasses.fields(value)]]
    seen += [_outcome(lambda: dataclasses.asdict(value)), kind.__match_args__]
    seen += [_outcome(lambda: dataclasses.replace(value, x=9).x), hasattr(value, "__dict__")]
    # Which error it is: the standard library's is a TypeError where a class has no such field.
    seen += [bool(_outcome(lambda: setattr(value, "x", 8)))]
    seen += [bool(_outcome(lambda: delattr(value, "x")))]
    copied = _outcome(lambda: copy.copy(again))
    return [*seen, type(copied) is kind and (copied == again), _outcome(lambda: value.doubled())]


@pytest.mark.parametrize(("theirs", "mine"), PAIRS, ids=NAMES)
@pytest.mark.parametrize(
    ("args", "named"),
    [((), {}), ((1,), {}), ((), {"x": 1}), ((1, 2), {}), ((1,), {"x": 1}), ((1,), {"no": 1})],
)
def test_a_class_is_as_the_standard_library_makes_it(
    theirs: Any, mine: Any, args: tuple[Any, ...], named: dict[str, Any]
):
    assert _looks(mine, *args, **named) == _looks(theirs, *args, **named)


def test_objects_are_told_apart_by_the_fields_that_are_compared():
    _, _, frozen, *_ = _classes(ours.dataclass)
    assert frozen(1, made={"a": 1}) == frozen(1, made={"b": 2})
    assert frozen(1) != frozen(2)
    assert frozen(1, secret="t") != frozen(1)
    assert len({frozen(1), frozen(1), frozen(2)}) == 2


def test_default_objects_are_made_for_each():
    first, second = Changed("a"), Changed("b")
    first.words.append("w")
    assert second.words == []


def test_an_object_that_holds_itself_is_shown():
    changed = Changed("a")
    changed.words.append(changed)  # pyright: ignore[reportArgumentType]
    assert repr(changed) == "Changed(name='a', words=[...])"


@pytest.mark.parametrize("value", [Kept("a", 4), Changed("b", ["c"])])
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, _pickled])
def test_a_copy_is_equal(value: Any, again: Callable[[Any], Any]):
    assert again(value) == value
    assert type(again(value)) is type(value)


def test_a_wrong_call_says_of_which_class():
    with pytest.raises(TypeError, match=r"Kept\.__init__\(\) missing .* 'name'"):
        Kept()  # pyright: ignore[reportCallIssue]


def test_it_can_be_matched():
    match Kept("a", 5):
        case Kept("a", size):
            assert size == 5
        case _:
            pytest.fail("not matched")


def test_an_import_compiles_no_init():
    program = """
import dataclasses, sys
import covey.dataclass
def refuse(*_): raise AssertionError("compiled")
covey.dataclass._compiled_init = refuse
import covey.wire.messages
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=COMMAND_MAX_S)
