"""Replacement strings: where they stand in a command, and what each is for given arguments.

Documented by GNU parallel's manual; the edits follow the definitions that it gives under --rpl.
Standard library only, bytes everywhere.
"""

import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple


class Placeholder(NamedTuple):
    """A replacement string inside a command.

    `position`: 0 = all arguments, n = the n-th, -n = the n-th from the end. `number`: a number of
    the task instead of an argument.
    """

    edit: Callable[[bytes], bytes] | None
    position: int = 0
    number: Literal["", "seq", "slot"] = ""


Part = bytes | Placeholder


def without_extension(value: bytes) -> bytes:
    """`{.}`: without the last `.` and what follows, if both are behind the last `/`."""
    return re.sub(rb"\.[^/.]*\Z", b"", value, count=1)


def base_name(value: bytes) -> bytes:
    """`{/}`: without what stands before the last `/` of the (first such) line."""
    return re.sub(rb".*/", b"", value, count=1)


def dir_name(value: bytes) -> bytes:
    """`{//}`: the directory part as perl's File::Basename gives it."""
    head, slash, tail = value.rpartition(b"/")
    if slash and not tail:
        head, slash, _ = head.rstrip(b"/").rpartition(b"/")
        if not slash:
            return b"/" if value.strip(b"/") == b"" else b"."
    if not slash:
        return b"."
    return head.rstrip(b"/") or b"/"


def base_without_extension(value: bytes) -> bytes:
    """`{/.}`: base name without extension."""
    return without_extension(base_name(value))


_EDITS: dict[bytes, Callable[[bytes], bytes] | None] = {
    b"": None,
    b".": without_extension,
    b"/": base_name,
    b"//": dir_name,
    b"/.": base_without_extension,
}
_SUFFIX = rb"(?://|/\.|/|\.)?"


def parse(text: bytes, replacement: bytes, names: tuple[bytes, ...]) -> tuple[Part, ...]:
    """Cuts a command line into literal text and placeholders; at least one part.

    Args:
        text: the command line.
        replacement: what `-I` set, else `{}`.
        names: the columns of `--header :` in order.
    """
    numbered = rb"(?P<n>0|-?0*[1-9][0-9]*)(?P<ns>" + _SUFFIX + rb")"
    if replacement != b"{}":
        # Only {1.}, {1/} … keep their meaning; {1} belongs to {}.
        numbered = rb"(?P<n>0|-?0*[1-9][0-9]*)(?P<ns>//|/\.|/|\.)"
    own = rb"(?P<all>" + re.escape(replacement) + rb")"
    choices: list[bytes] = []
    if is_braced := replacement[:1] == b"{" and replacement[-1:] == b"}":
        choices.append(own)
    if is_braced and replacement != b"{}":
        choices.append(rb"\{(?P<own>-?0*[1-9][0-9]*)" + re.escape(replacement[1:]))
    if names:
        longest = sorted(names, key=len, reverse=True)
        columns = b"|".join(re.escape(name) for name in longest if name)
        choices.append(rb"\{(?P<name>" + columns + rb")(?P<names>" + _SUFFIX + rb")\}")
    choices.append(rb"\{(?P<number>[#%])\}")
    choices.append(rb"\{(?P<edit>//|/\.|/|\.)\}")
    choices.append(rb"\{" + numbered + rb"\}")
    if not is_braced:
        # The longest wins: `-I {` leaves {.} alone.
        choices.append(own)
    parts: list[Part] = []
    at = 0
    for match in re.finditer(b"|".join(choices), text):
        if match.start() > at:
            parts.append(text[at : match.start()])
        parts.append(_placeholder(match.groupdict(), names))
        at = match.end()
    if at < len(text) or not parts:
        parts.append(text[at:])
    return tuple(parts)


def _placeholder(groups: dict[str, bytes | None], names: tuple[bytes, ...]) -> Placeholder:
    if number := groups.get("number"):
        return Placeholder(None, number="seq" if number == b"#" else "slot")
    if (name := groups.get("name")) is not None:
        return Placeholder(_EDITS[groups.get("names") or b""], names.index(name) + 1)
    if (own := groups.get("own")) is not None:
        return Placeholder(None, int(own))
    if (index := groups.get("n")) is not None:
        return Placeholder(_EDITS[groups.get("ns") or b""], int(index))
    return Placeholder(_EDITS[groups.get("edit") or b""])


def values(part: Placeholder, args: Sequence[bytes], seq: int, slot: int) -> list[bytes]:
    """What a placeholder stands for: no value when the argument is missing."""
    if part.number:
        return [b"%d" % (seq if part.number == "seq" else slot)]
    if part.position == 0:
        chosen = list(args)
    elif 0 < part.position <= len(args):
        chosen = [args[part.position - 1]]
    elif -len(args) <= part.position < 0:
        chosen = [args[part.position]]
    else:
        return []
    return chosen if part.edit is None else [part.edit(value) for value in chosen]
