"""The records of the input sources of `covey map`, and their combinations.

A record is what one `:::` value or one line of a file gives: a list with one argument, or several
when `--colsep` cuts it. Several sources are crossed (the last varies fastest), or linked. Sources
that are read more than once are held in memory; a single one streams, so a million lines cost
nothing.
"""

import itertools
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Protocol

from covey.cli.map.plan import MapPlan, Source
from covey.errors import UsageError

#: Bytes read at a time from an input file.
READ_BYTES = 1 << 20
#: A single record longer than this is refused: it would not pass as an argument anyway.
RECORD_MAX_BYTES = 64 << 20
_NOTHING: list[bytes] = []
_BLANKS = b" \t\n\r\f\v"

Record = list[bytes]


class Readable(Protocol):
    """A file of which what is there can be read without waiting for more."""

    def read1(self, size: int, /) -> bytes:
        """At most `size` bytes; b"" at the end only."""
        ...


class _StandardInput:
    """Standard input without a buffer of Python's: whoever waits for more holds no lock.

    A daemon thread that waits in `sys.stdin.buffer` makes the interpreter abort when it ends
    (Ctrl-C while a pipe stays open).
    """

    def read1(self, size: int, /) -> bytes:
        """See `Readable`."""
        # None: it was closed before we began. Then reading says so.
        return os.read(sys.stdin.fileno() if sys.stdin is not None else 0, size)


def standard_input() -> Readable:
    """The bytes of standard input."""
    return _StandardInput()


def open_file(name: bytes, stack: ExitStack, stdin: Readable) -> Readable:
    """The file of a `::::`, `-a` or `-`, closed with `stack`.

    Raises:
        UsageError: it cannot be read.
    """
    if name == b"-":
        return stdin
    try:
        file = open(name, "rb")  # noqa: SIM115 - the stack closes it
        stack.enter_context(file)
        if os.path.isdir(name):
            raise IsADirectoryError(21, os.strerror(21))
    except OSError as error:
        shown = os.fsdecode(name).encode("utf-8", "replace").decode()
        raise UsageError(
            f"cannot read the item file {shown}: {error.strerror} — give a file of items,"
            " one per line"
        ) from error
    return file


def split_records(file: Readable, delimiter: bytes, name: bytes) -> Iterator[bytes]:
    """The records of a file; a delimiter at its end ends the last one.

    Raises:
        UsageError: the file fails while it is read, or a record is over RECORD_MAX_BYTES.
    """
    rest = b""
    while True:
        try:
            data = file.read1(READ_BYTES)
        except OSError as error:
            shown = os.fsdecode(name)
            raise UsageError(f"cannot read the item file {shown}: {error.strerror}") from error
        if not data:
            break
        lines = (rest + data).split(delimiter)
        rest = lines.pop()
        if len(rest) > RECORD_MAX_BYTES:
            raise UsageError(
                f"an item of {os.fsdecode(name)} is over {RECORD_MAX_BYTES >> 20} MiB"
                " — is it a list of items, one per line?"
            )
        yield from lines
    if rest:
        yield rest


class SourceReader:
    """Opens all sources at once, so that an unreadable one is known before anything runs."""

    def __init__(self, plan: MapPlan, stack: ExitStack, stdin: Readable | None = None) -> None:
        self._plan = plan
        self._delimiter = b"\0" if plan.null else b"\n"
        self._columns = re.compile(os.fsencode(plan.colsep)) if plan.colsep else None
        stream = stdin if stdin is not None else standard_input()
        sources = plan.sources or (Source("file", (b"-",)),)
        self._groups: list[list[Iterator[Record]]] = []
        names: list[bytes] = []
        for source in sources:
            records = self._open(source, stack, stream)
            if plan.header:
                names += next(records, _NOTHING)
            if source.linked:
                self._groups[-1].append(records)
            else:
                self._groups.append([records])
        #: The columns of --header :, in order.
        self.names: tuple[bytes, ...] = tuple(names)

    def _open(self, source: Source, stack: ExitStack, stdin: Readable) -> Iterator[Record]:
        if source.kind == "values":
            raw: Iterable[bytes] = source.values
        else:
            name = source.values[0]
            raw = split_records(open_file(name, stack, stdin), self._delimiter, name)
        if self._plan.no_run_if_empty:
            raw = (value for value in raw if value.strip())
        columns = self._columns
        if columns is None:
            return ([value] for value in raw)
        return (_cut(columns, value) for value in raw)

    def rows(self) -> Iterator[Record]:
        """The argument lists, one for each combination of the sources' records."""
        sources = iter(_beside(list(itertools.chain.from_iterable(self._groups))))
        groups = [_zipped([next(sources) for _ in group]) for group in self._groups]
        if len(groups) == 1:
            return groups[0]
        return _wrapped(groups) if self._plan.link else _crossed(groups)


def _cut(columns: re.Pattern[bytes], value: bytes) -> Record:
    return [(cell or b"").strip(_BLANKS) for cell in columns.split(value)]


def _beside(sources: list[Iterator[Record]]) -> list[Iterator[Record]]:
    """Sources beside each other: an empty one counts as one empty argument, unless all are."""
    if len(sources) == 1:
        return sources
    firsts = [next(source, None) for source in sources]
    if all(first is None for first in firsts):
        return [iter(()) for _ in sources]
    return [
        itertools.chain([[b""]] if first is None else [first], source)
        for first, source in zip(firsts, sources, strict=True)
    ]


def _zipped(group: list[Iterator[Record]]) -> Iterator[Record]:
    """Records of linked sources side by side, until the shortest ends."""
    if len(group) == 1:
        return group[0]
    return (list(itertools.chain.from_iterable(row)) for row in zip(*group, strict=False))


def _wrapped(groups: list[Iterator[Record]]) -> Iterator[Record]:
    """--link: as many rows as the longest source has; shorter ones begin again."""
    held = [list(group) for group in groups]
    for n in range(max(map(len, held)) if all(held) else 0):
        yield [value for records in held for value in records[n % len(records)]]


def _crossed(groups: list[Iterator[Record]]) -> Iterator[Record]:
    """Every combination, the last source varying fastest; the first source is streamed."""
    first, *others = groups
    held = [list(group) for group in others]
    for head in first:
        for row in itertools.product(*held):
            yield [*head, *itertools.chain.from_iterable(row)]


def blocks(
    records: Callable[[], bytes], block_bytes: int, delimiter: bytes = b"\n"
) -> Iterator[bytes]:
    """--pipe: whole records, gathered to blocks.

    A block holds at most `block_bytes`, unless one record alone is longer.

    Args:
        records: reads some more bytes; b"" at the end.
        block_bytes: the size to aim at.
        delimiter: what ends a record.
    """
    waiting = bytearray()
    while data := records():
        waiting += data
        at = 0
        while len(waiting) - at >= block_bytes:
            end = waiting.rfind(delimiter, at, at + block_bytes)
            if end < 0:
                end = waiting.find(delimiter, at + block_bytes)
            if end < 0:
                break
            yield bytes(waiting[at : end + 1])
            at = end + 1
        del waiting[:at]
    if waiting:
        yield bytes(waiting)
