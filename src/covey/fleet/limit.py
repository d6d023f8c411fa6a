"""`--limit 'lab*,!lab3,@pis'`: some of the machines, by name, pattern or group. Pure.

    PATTERN = TERM ["," TERM]…            ":" separates too, as for Ansible
    TERM    = NAME | GLOB | "@" GROUP     added
            | "!" TERM                    taken away
            | "&" TERM                    of what was added, only these stay

When nothing is added (`!lab3`), it starts from all. A word that fits no machine is an error: a slip
must not become "on none" or "on all".
"""

import difflib
import fnmatch
import re
from collections.abc import Iterable, Sequence

from covey.errors import UsageError

_SEPARATOR = re.compile(r"[,:]")
_GLOB = re.compile(r"[*?\[]")


def select(
    machines: Iterable[tuple[str, Sequence[str]]], pattern: str, said_as: str = "--limit"
) -> list[str]:
    """The names among `machines` (name, groups) that the pattern means, in their order.

    said_as: what the pattern is called in an error.

    Raises:
        UsageError: a word of it fits no machine, or nothing is left.
    """
    known = [(name, tuple(labels)) for name, labels in machines]
    terms = [term for word in _SEPARATOR.split(pattern) if (term := word.strip())]
    if not terms:
        raise UsageError(f"{said_as} is empty — for example: 'lab*,!lab3,@pis'")
    added = [term for term in terms if term[0] not in "!&"]
    chosen = set[str]().union(*(_fitting(known, term) for term in added))
    if not added:
        chosen = {name for name, _ in known}
    for term in terms:
        if term[0] == "&":
            chosen &= _fitting(known, term[1:])
    for term in terms:
        if term[0] == "!":
            chosen -= _fitting(known, term[1:])
    if not chosen:
        raise UsageError(f"{said_as} {pattern!r} leaves no machine")
    return [name for name, _ in known if name in chosen]


def _fitting(known: Sequence[tuple[str, tuple[str, ...]]], term: str) -> set[str]:
    term = term.strip()
    if term.startswith("@"):
        found = {n for n, labels in known if any(_fits(label, term[1:]) for label in labels)}
        if not found:
            raise _no_group(known, term[1:])
        return found
    if term in ("all", "*") and known:
        return {name for name, _ in known}
    # A machine is called after its address with dashes for dots; both may be typed.
    found = {name for name, _ in known if _fits(name, term) or _fits(name, term.replace(".", "-"))}
    if not found:
        raise _no_machine(known, term)
    return found


def _fits(name: str, term: str) -> bool:
    return fnmatch.fnmatchcase(name, term) if _GLOB.search(term) else name == term


def _no_machine(known: Sequence[tuple[str, tuple[str, ...]]], term: str) -> UsageError:
    if any(term in labels for _, labels in known):
        return UsageError(f"there is no machine {term!r}; the group is @{term}")
    return UsageError(f"there is no machine {term!r}{_near(term, [name for name, _ in known], '')}")


def _no_group(known: Sequence[tuple[str, tuple[str, ...]]], term: str) -> UsageError:
    labels = sorted({label for _, labels in known for label in labels})
    return UsageError(f"there is no group @{term}{_near(term, labels, '@')}")


def _near(term: str, known: Sequence[str], sigil: str) -> str:
    near = difflib.get_close_matches(term, known, n=3) or known[:3]
    if not near:
        return "; there are none"
    more = " …" if len(known) > len(near) else ""
    return " — there is " + ", ".join(sigil + name for name in near) + more
