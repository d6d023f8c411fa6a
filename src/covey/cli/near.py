"""The sentence about an option that there is not, and what it may have meant. Pure."""

import difflib
from collections.abc import Iterable

#: Share of equal letters (`difflib`) from which a spelling counts as near: `--tga` for `--tag`.
NEAR_MIN = 0.65
#: Of many options that begin alike, so many are named.
NAMED_MAX = 3


def unknown_option(typed: str, known: Iterable[str], command: str) -> str:
    """The sentence; command: whose help tells all options."""
    if near := _near(typed, known):
        return f"unknown option {typed} — did you mean {' or '.join(near)}?"
    return f"unknown option {typed} — see: {command} --help"


def _near(typed: str, known: Iterable[str]) -> list[str]:
    """The options that begin with what was typed, else the one that is spelt nearly so, or none.

    Dashes do not count: every option has them.
    """
    long = [name for name in known if name.startswith("--")]
    if typed.strip("-") and (begun := [name for name in long if name.startswith(typed)]):
        return begun[:NAMED_MAX]
    bare = {name.strip("-"): name for name in long}
    near = difflib.get_close_matches(typed.strip("-"), bare, n=1, cutoff=NEAR_MIN)
    return [bare[name] for name in near]
