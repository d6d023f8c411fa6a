"""From input sources to tasks of `covey map`: the arguments, or the standard input, of each one.

Everything streams. The number of a task is its place in the input, counted from 1, whatever is left
out by `--resume`; so it is the Seq of a joblog.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import NamedTuple

from covey.cli.map.plan import MapPlan
from covey.cli.map.sources import (
    READ_BYTES,
    Readable,
    Record,
    SourceReader,
    blocks,
    open_file,
    standard_input,
)
from covey.model.context import encode_command
from covey.model.template import Template

#: Longest command line that -X and -m build: it passes through `shell -c` in one argument (Linux
#: allows 128 KiB), and an item of it fits into one message without a file.
LINE_MAX_BYTES = 60_000


class Input(NamedTuple):
    """One task: its number (from 1), its arguments, and what it reads on standard input."""

    seq: int
    args: list[bytes]
    stdin: bytes | None

    def payload(self, template: Template) -> bytes:
        """The item as it is submitted; where `template` is numbered, its number travels with it."""
        args = [*self.args, b"%d" % self.seq] if template.numbered else self.args
        return encode_command(args, self.stdin)


class Inputs:
    """The tasks of a plan, in order. Opens every source at once; a context manager closes them.

    Raises:
        UsageError: a source that cannot be read (on entry, or while it is read).
    """

    def __init__(self, plan: MapPlan, stdin: Readable | None = None) -> None:
        self._plan = plan
        self._stack = ExitStack()
        self._stdin = stdin
        try:
            #: The columns of --header :, for `MapPlan.template`.
            self.names: tuple[bytes, ...] = ()
            if plan.pipe:
                files = [source.values[0] for source in plan.sources] or [b"-"]
                stream = stdin if stdin is not None else standard_input()
                self._files = [open_file(name, self._stack, stream) for name in files]
            else:
                self._sources = SourceReader(plan, self._stack, stdin)
                self.names = self._sources.names
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> "Inputs":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def tasks(
        self,
        template: Template,
        *,
        slots: int = 1,
        skip: Callable[[int, list[bytes]], bool] | None = None,
        rng: random.Random | None = None,
    ) -> Iterator[Input]:
        """The tasks, in the order in which they are started.

        Args:
            template: the command (its length limits -X and -m).
            slots: how many tasks run at once: -X and -m spread what is left at the end over them.
            skip: whether the task of this number and arguments is left out (--resume).
            rng: where --shuf takes its order from; None = a new one.
        """
        if template.numbered:
            # Lengths of lines are measured here, without the number behind the arguments.
            template = replace(template, numbered=False)
        if self._plan.pipe:
            found: Iterator[tuple[list[bytes], bytes | None]] = (
                ([], block) for block in self._blocks()
            )
        else:
            found = ((args, None) for args in self._arguments(template, slots))
        if self._plan.shuf:
            shuffled = list(found)
            (rng or random.Random()).shuffle(shuffled)
            found = iter(shuffled)
        for seq, (args, stdin) in enumerate(found, 1):
            if skip is None or not skip(seq, args):
                yield Input(seq, args, stdin)

    def _arguments(self, template: Template, slots: int) -> Iterator[list[bytes]]:
        rows = self._sources.rows()
        most = self._plan.arguments_max
        if most == 1:
            return rows
        if most == 0:
            return ([] for _ in rows)
        if most is not None and not (self._plan.context or self._plan.xargs):
            return _grouped(rows, most)
        return _filled(rows, template, most, slots)

    def _blocks(self) -> Iterator[bytes]:
        delimiter = b"\0" if self._plan.null else b"\n"
        count = self._plan.max_replace_args or self._plan.max_args
        for file in self._files:
            if count:
                yield from _counted(file, count, delimiter)
            else:
                size_bytes = min(READ_BYTES, max(self._plan.block_bytes, 4096))
                yield from blocks(
                    lambda file=file, size=size_bytes: file.read1(size),
                    self._plan.block_bytes,
                    delimiter,
                )


def _grouped(rows: Iterator[Record], most: int) -> Iterator[list[bytes]]:
    """-N, -n: the arguments of `most` records together; the last group may be smaller."""
    group: list[bytes] = []
    held = 0
    for row in rows:
        group += row
        held += 1
        if held == most:
            yield group
            group, held = [], 0
    if held:
        yield group


def _filled(
    rows: Iterator[Record], template: Template, most: int | None, slots: int
) -> Iterator[list[bytes]]:
    """-X, -m: as many records as the line takes; the rest at the end is spread over the slots."""
    fixed = len(template.command_text([], 1, 1))
    group: list[Record] = []
    length = fixed
    for row in rows:
        # A little too much where {1} stands beside {}: a line is then shorter than it might be.
        more = len(template.command_text(row, 1, 1)) - fixed + 1
        if group and (length + more > LINE_MAX_BYTES or len(group) == most):
            yield [value for record in group for value in record]
            group, length = [], fixed
        group.append(row)
        length += more
    share = -(-len(group) // max(slots, 1))
    for at in range(0, len(group), share or 1):
        yield [value for record in group[at : at + share] for value in record]


def _counted(file: Readable, count: int, delimiter: bytes) -> Iterator[bytes]:
    """--pipe -N: blocks of `count` records."""
    parts: list[bytes] = []
    held = 0
    for piece in blocks(lambda: file.read1(READ_BYTES), READ_BYTES, delimiter):
        at = 0
        while at < len(piece):
            end = piece.find(delimiter, at)
            end = len(piece) if end < 0 else end + len(delimiter)
            parts.append(piece[at:end])
            held, at = held + 1, end
            if held == count:
                yield b"".join(parts)
                parts, held = [], 0
    if parts:
        yield b"".join(parts)


def waiting_hint(plan: MapPlan, *, is_terminal: bool) -> str | None:
    """What to say before items are read from a terminal, where it looks as if nothing happened."""
    if not is_terminal or not plan.reads_stdin:
        return None
    return "reading items from the terminal, one per line, until Ctrl-D (or give them after :::)"
