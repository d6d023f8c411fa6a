"""What the commands print: aligned tables, and one JSON value with `"schema": 1`.

Nothing here needs rich: tables of this size are quicker to align than rich is to import. Text that
came from items, file names or machines is made printable first, so that it can neither move the
cursor nor break a line of a table.

Bytes in JSON: text that is valid UTF-8 is a JSON string; anything else is `{"base64": "…"}`, so the
output is valid for every JSON reader and loses nothing.
"""

import base64
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

#: Version of what `--json` prints. Fields may be added under the same number; none changes or goes.
SCHEMA = 1
#: Columns of a table on a terminal are never cut below this width.
WIDTH_MIN = 20

_BOLD, _RED, _GREEN, _YELLOW, _DIM, _PLAIN = (
    "\033[1m",
    "\033[31m",
    "\033[32m",
    "\033[33m",
    "\033[2m",
    "\033[0m",
)
#: Words that stand in colour on a terminal, wherever a state is shown.
STATE_COLOURS = {
    "failed": _RED,
    "lost": _RED,
    "crashed": _RED,
    "unreachable": _RED,
    "timed out": _RED,
    "out of memory": _RED,
    "succeeded": _GREEN,
    "up": _GREEN,
    "running": _YELLOW,
    "cancelling": _YELLOW,
    "cancelled": _DIM,
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: its heading, and whether its cells stand to the right."""

    title: str
    right: bool = False


def has_colour(stream: TextIO, env: Mapping[str, str] | None = None) -> bool:
    """Whether colour codes belong on `stream`: a terminal, and NO_COLOR unset (no-color.org)."""
    env = os.environ if env is None else env
    return not env.get("NO_COLOR") and env.get("TERM") != "dumb" and stream.isatty()


def printable(text: str | bytes) -> str:
    """`text` with control characters, line ends and bytes that are no UTF-8 as escapes."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def table(
    columns: Sequence[Column],
    rows: Iterable[Sequence[str]],
    *,
    width: int | None = None,
    colour: bool = False,
) -> str:
    """Aligned text, one line per row. Only the last column is cut, to fit `width` (None: never)."""
    cells = [[column.title for column in columns], *([printable(c) for c in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    room = None
    if width is not None:
        room = max(WIDTH_MIN, width - sum(widths[:-1]) - 2 * (len(columns) - 1))
    lines: list[str] = []
    for number, row in enumerate(cells):
        parts: list[str] = []
        for i, (cell, column) in enumerate(zip(row, columns, strict=True)):
            last = i == len(columns) - 1
            shown = _cut(cell, room) if last and room is not None else cell
            padded = (
                shown.rjust(widths[i]) if column.right else shown.ljust(0 if last else widths[i])
            )
            parts.append(_painted(padded, cell, header=number == 0) if colour else padded)
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: room - 1] + "…"


def _painted(padded: str, cell: str, *, header: bool) -> str:
    code = _BOLD if header else STATE_COLOURS.get(cell, "")
    return f"{code}{padded}{_PLAIN}" if code else padded


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """The table on stdout; cut to the terminal's width only when it is a terminal."""
    terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if terminal else None
    say(table(columns, rows, width=width, colour=has_colour(sys.stdout)))


def say(line: str = "") -> None:
    """A line on stdout."""
    sys.stdout.write(line + "\n")


def note(line: str) -> None:
    """A line on stderr: what is not the answer itself."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def write_bytes(data: bytes, stream: TextIO) -> None:
    """Bytes as they are, in order with the text written before."""
    stream.flush()
    raw = stream.buffer
    raw.write(data)
    raw.flush()


def text_or_base64(data: bytes | str) -> str | dict[str, str]:
    """Bytes for JSON: a string when they are UTF-8, else `{"base64": …}`."""
    if isinstance(data, str):
        data = data.encode("utf-8", "surrogateescape")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def print_json(value: Mapping[str, Any]) -> None:
    """One JSON value on one line, `"schema"` first."""
    say(json.dumps({"schema": SCHEMA, **value}))


def print_json_rows(head: Mapping[str, Any], key: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """One JSON value whose last field is a long array: written row by row, never held whole."""
    start = json.dumps({"schema": SCHEMA, **head})
    sys.stdout.write(f'{start[:-1]}, "{key}": [')
    separator = "\n"
    for row in rows:
        sys.stdout.write(separator + json.dumps(row))
        separator = ",\n"
    say("]}")


def moment(at: float | None) -> str:
    """Local time of `at` (epoch seconds): `2026-11-20 11:06:03`; `-` when there is none."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)) if at else "-"


def size(size_bytes: float | None) -> str:
    """`512 B`, `1.5 kB`, `3.2 GB` (powers of 1000); `-` when it is not known."""
    if size_bytes is None:
        return "-"
    if size_bytes < 1000:
        return f"{size_bytes:.0f} B"
    for unit in ("kB", "MB", "GB", "TB"):
        size_bytes /= 1000
        if size_bytes < 999.5 or unit == "TB":
            return f"{size_bytes:.1f} {unit}" if size_bytes < 99.5 else f"{size_bytes:.0f} {unit}"
    return "-"


def counted(number: int, noun: str) -> str:
    """`1 machine`, `3 machines`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
