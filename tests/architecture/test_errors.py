"""The error tree in the docstring of errors.py is the tree of classes."""

import builtins
import inspect
import pickle
import re

import pytest

import covey.errors
from covey.errors import CoveyError

_LINE = re.compile(r"^(?P<indent>[│├└─\s]*)(?P<name>[A-Z]\w+)(?:\s+\((?P<builtin>\w+)\))?")


def _drawn() -> list[tuple[str, str | None, str | None]]:
    """(class, covey parent, builtin parent) for each line of the drawing."""
    found: list[tuple[str, str | None, str | None]] = []
    above: list[tuple[int, str]] = []
    for line in (covey.errors.__doc__ or "").splitlines():
        match = _LINE.match(line)
        if match is None or not line.startswith("    "):
            continue
        depth = len(match["indent"])
        while above and above[-1][0] >= depth:
            above.pop()
        found.append((match["name"], above[-1][1] if above else None, match["builtin"]))
        above.append((depth, match["name"]))
    return found


def _classes() -> list[type[CoveyError]]:
    return [
        member
        for _, member in inspect.getmembers(covey.errors, inspect.isclass)
        if issubclass(member, CoveyError)
    ]


def test_the_drawn_tree_is_the_tree_of_classes():
    drawn = {name: (parent, builtin) for name, parent, builtin in _drawn()}
    real: dict[str, tuple[str | None, str | None]] = {}
    for kind in _classes():
        bases = [base.__name__ for base in kind.__bases__]
        ours = [name for name in bases if hasattr(covey.errors, name)]
        others = [name for name in bases if hasattr(builtins, name) and name != "Exception"]
        real[kind.__name__] = (ours[0] if ours else None, others[0] if others else None)
    assert drawn == real


@pytest.mark.parametrize("kind", _classes(), ids=lambda kind: kind.__name__)
def test_an_error_says_what_happened_and_travels_between_processes(kind: type[CoveyError]):
    error = kind(path="here")
    assert str(error).endswith("."), "the first docstring sentence is the default message"
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (str(again), again.data) == (str(error), {"path": "here"})


@pytest.mark.parametrize("kind", _classes(), ids=lambda kind: kind.__name__)
def test_families_end_in_error_and_leaves_say_what_happened(kind: type[CoveyError]):
    is_family = bool(kind.__subclasses__())
    if is_family:
        assert kind.__name__.endswith("Error")
    elif kind.__name__.endswith("Error"):
        # Families of which there is one so far.
        alone = {"SettingsError", "InventoryError", "UsageError", "DecodeError", "FleetError"}
        assert kind.__name__ in alone
