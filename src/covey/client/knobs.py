"""What can be said to an Executor, checked. Pure."""

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypedDict, cast

from covey.client.feed import Options, Placing
from covey.client.users import user_of_call
from covey.model.knobs import check_knobs, policy_named, probe_ratio_of
from covey.model.policy import DEFAULT_POLICY, DEFAULT_PROBE_RATIO
from covey.model.users import PRIORITY_MAX, PRIORITY_MIN

#: A label or the name of a machine, as inventories have them.
_WORD = re.compile(r"\w[\w.+-]{0,63}\Z")


class Knobs(TypedDict, total=False):
    """What may be said to an Executor of how its tasks find machines, and whose they are."""

    policy: str
    probe_ratio: float | str
    cancellation: bool
    priority: int
    user: str
    preempt: bool


def knobs_of(given: Knobs) -> tuple[Placing, Options]:
    """What the knobs mean for the jobs of an executor, and for each task.

    Raises:
        UsageError: no such policy, or what was said besides means nothing with it.
        ValueError: the user has no name, or there is no such priority.
        TypeError: there is no such knob.
    """
    for name in given:
        if name not in Knobs.__annotations__:
            near = difflib.get_close_matches(name, Knobs.__annotations__, 1)
            meant = f": did you mean {near[0]}?" if near else ""
            raise TypeError(f"covey.Executor has no argument {name!r}{meant}")
    policy = policy_named(str(given.get("policy", DEFAULT_POLICY)))
    ratio, cancels, user = given.get("probe_ratio"), given.get("cancellation"), given.get("user")
    check_knobs(policy, has_ratio=ratio is not None, has_cancellation=cancels is not None)
    if user is not None and not user.strip():
        raise ValueError("user must not be empty")
    placing = Placing(
        policy=policy,
        probe_ratio=DEFAULT_PROBE_RATIO if ratio is None else probe_ratio_of(ratio),
        has_cancellation=cancels is not False,
        user=user or user_of_call(),
    )
    each = {"priority": given.get("priority"), "preempt": given.get("preempt")}
    return placing, options_changed(Options(), each)


def options_changed(options: Options, given: Mapping[str, Any]) -> Options:
    """The options with what was given by keyword; None = as before.

    Raises:
        ValueError: an option that makes no sense.
        TypeError: it is no whole number where one is needed.
    """
    changes: dict[str, Any] = {}
    for name, value in given.items():
        if value is not None:
            field, read = _READ[name]
            changes[field] = read(name, value)
    return replace(options, **changes)


def _at_least(least: int) -> Callable[[str, Any], int]:
    def read(name: str, value: Any) -> int:
        number = _whole(name, value)
        if number < least:
            told = f"{name} must be at least {least}" if least else f"{name} must not be negative"
            raise ValueError(told)
        return number

    return read


def _whole(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from None


def _time_limit(name: str, value: Any) -> float:
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a number of seconds, and not negative")
    return float(value)


def _priority(name: str, value: Any) -> int:
    number = _whole(name, value)
    if not PRIORITY_MIN <= number <= PRIORITY_MAX:
        raise ValueError(f"{name} must be from {PRIORITY_MIN} to {PRIORITY_MAX}, not {number}")
    return number


def _words(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, Iterable):
        raise TypeError(f"{name} must be a name or several, not {value!r}")
    words = (value,) if isinstance(value, str) else tuple(cast("Iterable[object]", value))
    for word in words:
        bare = word.removeprefix("@") if name == "avoid" and isinstance(word, str) else word
        if not isinstance(bare, str) or not _WORD.match(bare):
            raise ValueError(f"{name}: {word!r} is no name")
    return tuple(dict.fromkeys(cast("tuple[str, ...]", words)))


def _truth(_name: str, value: Any) -> bool:
    return bool(value)


#: Keyword -> field of `Options`, and what reads its value.
_READ: dict[str, tuple[str, Callable[[str, Any], Any]]] = {
    "cpus": ("cpus", _at_least(1)),
    "retries": ("retries", _at_least(0)),
    "time_limit": ("time_limit_s", _time_limit),
    "priority": ("priority", _priority),
    "labels": ("labels", _words),
    "machines": ("machines", _words),
    "avoid": ("avoid", _words),
    "spread": ("is_spread", _truth),
    "preempt": ("may_preempt", _truth),
    "wait": ("waits_for_machines", _truth),
}
