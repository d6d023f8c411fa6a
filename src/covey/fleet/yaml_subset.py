"""The YAML that inventories are written in: maps, lists and scalars by indentation. Pure.

Read: comments, `key:` maps and `- ` lists at any depth, scalars on one line, plain or quoted, and
`{a: 1}` and `[a, b]` of scalars. A value beyond that (an anchor, a tag, a block, several lines) is
kept as `Refused`, so that only who needs it must complain. Nothing is turned into anything: `0644`,
`no` and `1.10` stay text.
"""

import re
from dataclasses import dataclass, field

from covey.fleet.listing import LINE_MAX

#: Deeper nesting than this is no inventory.
DEPTH_MAX = 32

_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"')
_SINGLE = re.compile(r"'((?:[^']|'')*)'")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", "0": "\0"}
_COMMENT = re.compile(r"(?:^|\s)#")
_REFUSED = {
    "&": "an anchor",
    "*": "an alias",
    "!": "a tag",
    "|": "a block of text",
    ">": "a block of text",
    "%": "a directive",
    "@": "an @ in front",
    "`": "a ` in front",
    "}": "a } in front",
    "]": "a ] in front",
    ",": "a comma in front",
}


@dataclass(slots=True)
class Scalar:
    """Text; "" for a key without a value."""

    text: str
    line: int


@dataclass(slots=True)
class Refused:
    """A value that this subset does not read."""

    reason: str
    line: int


@dataclass(slots=True)
class Items:
    """A list."""

    line: int
    items: list["Node"] = field(default_factory=list["Node"])


@dataclass(slots=True)
class Map:
    """Keys with their values, in order; `lines` says where each key stands."""

    line: int
    values: dict[str, "Node"] = field(default_factory=dict[str, "Node"])
    lines: dict[str, int] = field(default_factory=dict[str, int])


Node = Scalar | Refused | Items | Map


@dataclass(slots=True)
class _Line:
    number: int
    indent: int
    text: str


def read_yaml(text: str) -> tuple[Node, list[tuple[int, str]]]:
    """The one document of a text, and (line, reason) of what is no YAML."""
    reader = _Reader(text)
    node = reader.document()
    return node, sorted(reader.problems)


class _Reader:
    """Goes through the lines once. After a bad line, what is indented under it is passed over."""

    def __init__(self, text: str) -> None:
        self.problems: list[tuple[int, str]] = []
        self._lines = self._split(text)
        self._at = 0

    def _split(self, text: str) -> list[_Line]:
        lines: list[_Line] = []
        for number, whole in enumerate(text.split("\n"), 1):
            line = whole.rstrip()
            content = line.lstrip(" ")
            if not content or content.startswith("#"):
                continue
            if len(line) > LINE_MAX:
                self._bad(number, f"the line is longer than {LINE_MAX:,} letters")
                continue
            if line.startswith(("--- ", "... ")) and line[4:].lstrip()[:1] != "#":
                self._bad(number, f"nothing can stand behind {line[:3]} here")
                continue
            if line[:3] in ("---", "...") and line[3:4] in ("", " "):
                if lines and line.startswith("---"):
                    self._bad(number, "a second document: an inventory is one")
                    break
                continue
            if content.startswith("\t"):
                self._bad(number, "a tab cannot indent a line: use blanks")
                continue
            lines.append(_Line(number, len(line) - len(content), content))
        return lines

    def _bad(self, line: int, reason: str) -> None:
        self.problems.append((line, reason))

    def document(self) -> Node:
        """All of it."""
        if not self._lines:
            return Scalar("", 1)
        first = self._lines[0]
        node = self._block(first.indent, 0)
        while self._at < len(self._lines):
            self._bad(self._lines[self._at].number, "it is indented less than the line it follows")
            self._at += 1
            self._skip(first.indent)
        return node

    def _block(self, indent: int, depth: int) -> Node:
        line = self._lines[self._at]
        if depth > DEPTH_MAX:
            self._skip(indent - 1)
            self._bad(line.number, f"it is nested deeper than {DEPTH_MAX} levels")
            return Refused("nested too deep", line.number)
        if _is_item(line.text):
            return self._items(indent, depth)
        return self._map(indent, depth)

    def _skip(self, indent: int) -> bool:
        """Pass over what is indented deeper; whether there was anything."""
        start = self._at
        while self._at < len(self._lines) and self._lines[self._at].indent > indent:
            self._at += 1
        return self._at > start

    def _next_at(self, indent: int) -> _Line | None:
        """The next line, if it belongs to a block of that indentation."""
        while self._at < len(self._lines):
            line = self._lines[self._at]
            if line.indent == indent:
                return line
            if line.indent < indent:
                return None
            self._bad(line.number, "it is indented deeper than the line it belongs to")
            self._skip(indent)
        return None

    def _map(self, indent: int, depth: int) -> Map:
        found = Map(self._lines[self._at].number)
        while (line := self._next_at(indent)) is not None:
            self._at += 1
            split = "an item among keys" if _is_item(line.text) else _key_and_rest(line.text)
            if isinstance(split, str):
                self._bad(line.number, split)
                self._skip(indent)
                continue
            key, rest = split
            value = self._value(rest, line, indent, depth)
            if key in found.values:
                self._bad(line.number, f"{key!r} is said in line {found.lines[key]} already")
                continue
            found.values[key] = value
            found.lines[key] = line.number
        return found

    def _items(self, indent: int, depth: int) -> Items:
        found = Items(self._lines[self._at].number)
        while (line := self._next_at(indent)) is not None:
            if not _is_item(line.text):
                break
            rest = line.text[1:].lstrip(" ")
            if isinstance(_key_and_rest(rest), tuple) or rest.startswith("- "):
                # What stands behind the dash is a block of its own, indented by the dash.
                inner = indent + len(line.text) - len(rest)
                self._lines[self._at] = _Line(line.number, inner, rest)
                found.items.append(self._block(inner, depth + 1))
            else:
                self._at += 1
                found.items.append(self._value(rest, line, indent, depth))
        return found

    def _value(self, rest: str, line: _Line, indent: int, depth: int) -> Node:
        """What stands behind a `key:` or a dash, or is indented under it."""
        bare = "" if rest.startswith("#") else rest
        if not bare:
            if self._at == len(self._lines):
                return Scalar("", line.number)
            following = self._lines[self._at]
            if following.indent > indent:
                return self._block(following.indent, depth + 1)
            # The list of a key may be indented as the key is.
            is_list = _is_item(following.text) and not _is_item(line.text)
            if is_list and following.indent == indent:
                return self._items(indent, depth + 1)
            return Scalar("", line.number)
        node = scalar_or_flow(bare, line.number)
        if self._skip(indent):
            reason = node.reason if isinstance(node, Refused) else "a value over several lines"
            return Refused(reason, line.number)
        return node


def _is_item(text: str) -> bool:
    return text == "-" or text.startswith("- ")


def _key_and_rest(text: str) -> tuple[str, str] | str:
    """(key, what follows the colon), or why it is no `key: value`."""
    if text[:1] in ("?", "{", "["):
        return f"{text[0]!r} cannot begin a line here: write `key: value`"
    if text[:1] in _REFUSED:
        return f"{_REFUSED[text[0]]} cannot begin a line here: write `key: value`"
    for quoted in (_DOUBLE, _SINGLE):
        if (found := quoted.match(text)) is not None:
            rest = text[found.end() :].lstrip(" ")
            if rest == ":" or rest.startswith(": "):
                return _unquoted(found), rest[1:].strip()
            return "behind the quotes stands no colon: write `key: value`"
    if text[:1] in ("'", '"'):
        return "the quotes do not end on this line"
    end = len(text) - 1 if text.endswith(":") else -1
    colon = text.find(": ")
    colon = colon if colon >= 0 else end
    comment = _COMMENT.search(text)
    if comment is not None and (colon < 0 or comment.start() < colon):
        before = text[: comment.start()].rstrip()
        return (before[:-1], "") if before.endswith(":") else "it has no colon: write `key: value`"
    if colon <= 0:
        return "it has no colon: write `key: value`"
    key = text[:colon].rstrip()
    return (
        "a merge (<<) is not read: write the values out"
        if key == "<<"
        else (
            key,
            text[colon + 1 :].strip(),
        )
    )


def scalar_or_flow(text: str, line: int) -> Node:
    """A value that stands on one line."""
    if text[0] in _REFUSED:
        return Refused(f"{_REFUSED[text[0]]} is not read", line)
    if re.match(r"[-?:](?:\s|\Z)", text):
        return Refused(f"a {text[0]} behind the colon is not read", line)
    if text[0] in "\"'":
        return _quoted_scalar(text, line)
    if text[0] in "{[":
        return _flow(text, line)
    comment = _COMMENT.search(text)
    plain = (text[: comment.start()] if comment else text).rstrip()
    if ": " in plain or plain.endswith(":"):
        return Refused("a second colon on the line: put the value into quotes", line)
    return Scalar("" if plain in ("~", "null", "Null", "NULL") else plain, line)


def _quoted_scalar(text: str, line: int) -> Node:
    found = (_DOUBLE if text[0] == '"' else _SINGLE).match(text)
    if found is None:
        return Refused("the quotes do not end on this line", line)
    behind = text[found.end() :]
    if behind.strip() and not _COMMENT.match(behind):
        return Refused("something stands behind the quotes", line)
    if text[0] == '"' and set("xuUNLP_evabf") & set(_ESCAPE.findall(found[1])):
        return Refused("an escape that is not read here", line)
    return Scalar(_unquoted(found), line)


def _unquoted(found: re.Match[str]) -> str:
    if found[0][0] == "'":
        return found[1].replace("''", "'")
    return _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[1]), found[1])


def _flow(text: str, line: int) -> Node:
    """`{a: 1, b: 2}` or `[a, b]`, of scalars."""
    close = {"{": "}", "[": "]"}[text[0]]
    pieces: list[str] = []
    at, start = 1, 1
    while at < len(text) and text[at] != close:
        letter = text[at]
        quoted = {'"': _DOUBLE, "'": _SINGLE}.get(letter)
        begins_value = text[start:at].strip(" ")[-1:] in ("", ":")
        found = quoted.match(text, at) if quoted and begins_value else None
        if letter in "{[":
            return Refused("braces within braces are not read", line)
        if letter == ",":
            pieces.append(text[start:at])
            start = at + 1
        at = found.end() if found else at + 1
    behind = text[at + 1 :]
    if at >= len(text) or (behind.strip() and not _COMMENT.match(behind)):
        return Refused(f"no {close} ends the line", line)
    pieces.append(text[start:at])
    words = [piece.strip() for piece in pieces if piece.strip()]
    return _flow_map(words, line) if close == "}" else _flow_items(words, line)


def _flow_items(words: list[str], line: int) -> Node:
    return Items(line, [scalar_or_flow(word, line) for word in words])


def _flow_map(words: list[str], line: int) -> Node:
    found = Map(line)
    for word in words:
        split = _key_and_rest(word)
        if isinstance(split, str) or split[0] in found.values:
            return Refused(split if isinstance(split, str) else "a key is said twice", line)
        key, rest = split
        found.values[key] = scalar_or_flow(rest, line) if rest else Scalar("", line)
        found.lines[key] = line
    return found
