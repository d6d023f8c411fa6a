"""What `covey map` prints: the output of each task in one piece, as tasks end or in their order.

`Printer` is fed the recorded outcomes and, with `--lb`, what running tasks write. Standard output
of a task goes to ours, standard error to ours, bytes exact. It also feeds the joblog and the
results. No asyncio, no bus: `map` calls it from its loop.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Literal, NamedTuple, cast

from covey.cli.map.joblog import JoblogWriter
from covey.cli.map.plan import MapPlan
from covey.cli.map.results import Results
from covey.cli.map.rows import Logged, logged
from covey.cli.output import SCHEMA, text_or_base64
from covey.model.task import OutcomeState
from covey.model.template import Template
from covey.scheduler.rows import OutcomeRow

#: Output that -k holds back in memory; what comes beyond it waits in a temporary file.
HELD_MAX_BYTES = 32 << 20

#: A line of a running task longer than this is not printed by --lb before the task ends.
OPEN_LINE_MAX_BYTES = 1 << 20

Stream = Literal["out", "err"]


class Piece(NamedTuple):
    """Bytes for one of our streams."""

    stream: Stream
    data: bytes


class Outlets(NamedTuple):
    """Where things go; standard output and error unless a test says otherwise."""

    out: BinaryIO
    err: BinaryIO


def standard_outlets() -> Outlets:
    """This process's own streams."""
    return Outlets(cast(BinaryIO, sys.stdout.buffer), cast(BinaryIO, sys.stderr.buffer))


class Printer:
    """Prints tasks as they end.

    Raises:
        BrokenPipeError: nobody reads standard output any more: stop quietly.
        FileError: the joblog or the results cannot be written.
    """

    def __init__(
        self,
        plan: MapPlan,
        template: Template,
        *,
        joblog: JoblogWriter | None = None,
        results: Results | None = None,
        host: Callable[[str], str] = lambda agent: ":",
        outlets: Outlets | None = None,
        before_output: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepares to print the tasks of a plan.

        Args:
            plan: says how.
            template: for the Command column and for numbers of resumed tasks.
            joblog: gets a line per task.
            results: gets the output instead of standard output.
            host: the Host column for an agent; `:` is this machine.
            outlets: where to print.
            before_output: called before anything is printed (hides the progress bar).
        """
        self._plan = plan
        self._template = template
        self._joblog = joblog
        self._results = results
        self._host = host
        self._outlets = outlets or standard_outlets()
        self._before_output = before_output
        self._lines = _LineBuffers()
        self._held = _Held()
        self._next = 1

    def rows(self, rows: Iterable[OutcomeRow]) -> None:
        """Prints tasks that were recorded, in the order of recording."""
        for row in rows:
            self._row(row)
        self._outlets.out.flush()
        if self._joblog is not None:
            self._joblog.flush()

    def partial(
        self,
        task: int,
        stream: Stream,
        data: bytes,
        args: list[bytes],
        *,
        n: int = 1,
        offset: int | None = None,
    ) -> None:
        """Prints whole lines of a running task (--lb); with -k only of the one whose turn it is.

        What is lost, doubled or of an older attempt does no harm: the rest is printed with the row.

        Args:
            task: the task, as its row will have it.
            stream: which of its streams.
            data: what it wrote.
            args: its arguments, for --tag.
            n: which attempt wrote it (`OutcomeRow.n`).
            offset: where `data` stands in the stream; None = behind what came before.
        """
        if self._results is not None or self._plan.as_json:
            return
        lines = self._lines.take((task, stream), n, data, offset)
        if not lines:
            return
        pieces = [Piece(stream, self._tagged(lines, args))]
        if self._plan.keep_order and task != self._next:
            self._held.add(task, pieces)
            return
        self._print(pieces)
        self._outlets.out.flush()

    def printed_before(self, tasks: Iterable[int]) -> None:
        """These tasks were printed by an earlier run of the job: -k does not wait for them."""
        for task in tasks:
            self._held.add(task, (), is_last=True)
        self._print_in_turn()

    def close(self) -> None:
        """Prints what -k still holds (a task before it never ended), and closes the files."""
        for task in self._held.tasks():
            self._print(self._held.take(task))
        self._held.close()
        self._outlets.out.flush()
        if self._joblog is not None:
            self._joblog.close()
        if self._results is not None:
            self._results.close()

    def _row(self, row: OutcomeRow) -> None:
        pieces = self._pieces(row)
        if not self._plan.keep_order:
            self._print(pieces)
            return
        self._held.add(row.task, pieces, is_last=True)
        self._print_in_turn()

    def _numbered(self, row: OutcomeRow) -> tuple[list[bytes], int]:
        """The arguments of a task, and the number that stands for it."""
        args = row.args
        if not self._template.numbered or not args:
            return args, row.task
        plain, seq = self._template.unnumbered(args)
        return list(plain), seq

    def _print_in_turn(self) -> None:
        while self._held.is_complete(self._next):
            self._print(self._held.take(self._next))
            self._next += 1
        # The task whose turn it is now may be running, and have written something (--lb).
        self._print(self._held.take(self._next))

    def _pieces(self, row: OutcomeRow) -> Sequence[Piece]:
        """What is to be printed of a task that ended; the joblog and results get theirs at once."""
        is_shown = self._results is None and not self._plan.as_json
        if (self._joblog is not None or not is_shown) and row.started is not None:
            args, seq = self._numbered(row)
            task = logged(row, seq=seq, args=args, command=self._command, host=self._host)
            # What was stopped (by --halt or Ctrl-C) is not done: --resume runs it again.
            if self._joblog is not None and row.state is not OutcomeState.CANCELLED:
                self._joblog.write(task)
            if self._results is not None:
                self._results.write(task)
            if self._plan.as_json:
                return [Piece("out", json_line(row, task))]
        if not is_shown or not (row.out or row.err or self._lines):
            return ()
        pieces = [
            Piece("out", self._lines.rest((row.task, "out"), row.n, row.out, row.out_size)),
            Piece("err", self._lines.rest((row.task, "err"), row.n, row.err, row.err_size)),
        ]
        args = self._numbered(row)[0] if self._plan.tag else []
        return [Piece(stream, self._tagged(data, args)) for stream, data in pieces if data]

    def _command(self, row: OutcomeRow) -> bytes:
        return self._template.command_text(row.args, row.task, row.slot)

    def _tagged(self, data: bytes, args: list[bytes]) -> bytes:
        return tagged(data, b" ".join(args)) if self._plan.tag else data

    def _print(self, pieces: Iterable[Piece]) -> None:
        out, err = self._outlets
        for stream, data in pieces:
            if not data:
                continue
            self._before_output()
            if stream == "out":
                out.write(data)
            else:
                # Keeps the order of both where they are the same terminal or file.
                out.flush()
                err.write(data)
                err.flush()


def tagged(data: bytes, tag: bytes) -> bytes:
    """Every line with the tag and a TAB before it."""
    if not data:
        return b""
    prefix = tag + b"\t"
    body, end = (data[:-1], b"\n") if data.endswith(b"\n") else (data, b"")
    return prefix + body.replace(b"\n", b"\n" + prefix) + end


def json_line(row: OutcomeRow, task: Logged) -> bytes:
    """A task for `--json`: one object on one line."""
    value = {
        "schema": SCHEMA,
        "job": row.job,
        "task": row.task,
        "seq": task.seq,
        "attempt": row.attempt,
        "state": row.state.name.lower(),
        "machine": row.agent,
        "slot": row.slot,
        "exit": task.exitval,
        "signal": task.signal,
        "started": task.started,
        "runtime_s": round(task.runtime_s, 6),
        "args": [text_or_base64(arg) for arg in task.args],
        "command": text_or_base64(task.command),
        "stdout": text_or_base64(task.out),
        "stderr": text_or_base64(task.err),
    }
    return json.dumps(value).encode() + b"\n"


@dataclass(slots=True)
class _Followed:
    """How far a stream of a running attempt was printed, and the line it has not ended yet."""

    n: int
    printed: int = 0
    open_line: bytes = b""


class _LineBuffers:
    """What was printed of running tasks, by task and stream."""

    def __init__(self) -> None:
        self._followed: dict[tuple[int, Stream], _Followed] = {}

    def __bool__(self) -> bool:
        return bool(self._followed)

    def take(self, key: tuple[int, Stream], n: int, data: bytes, offset: int | None) -> bytes:
        """The whole lines that may be printed now."""
        seen = self._followed.setdefault(key, _Followed(n))
        if n > seen.n:
            seen = self._followed[key] = _Followed(n)
        received = seen.printed + len(seen.open_line)
        at = received if offset is None else offset
        if n < seen.n or at > received or at + len(data) <= received:
            return b""
        lines, newline, rest = (seen.open_line + data[received - at :]).rpartition(b"\n")
        seen.printed += len(lines) + len(newline)
        # What is dropped here comes with the row.
        seen.open_line = rest if len(rest) <= OPEN_LINE_MAX_BYTES else b""
        return lines + newline

    def rest(self, key: tuple[int, Stream], n: int, data: bytes, size_bytes: int) -> bytes:
        """What is still to be printed of an attempt that wrote `size_bytes`.

        `data` is what was kept of it: of a long output its first and its last half.
        """
        seen = self._followed.pop(key, None)
        if seen is None or seen.n != n:
            return data
        missing = size_bytes - seen.printed
        half = len(data) // 2
        if size_bytes == len(data) or missing > half:
            return data[min(seen.printed, half if size_bytes > len(data) else seen.printed) :]
        return data[-missing:] if missing > 0 else b""


class _Held:
    """Output that waits for its turn, by task; beyond HELD_MAX_BYTES in a temporary file."""

    def __init__(self) -> None:
        self._pieces: dict[int, list[tuple[Stream, bytes | tuple[int, int]]]] = {}
        self._complete: set[int] = set()
        self._bytes = 0
        self._file: BinaryIO | None = None

    def add(self, task: int, pieces: Iterable[Piece], *, is_last: bool = False) -> None:
        kept = self._pieces.setdefault(task, [])
        for stream, data in pieces:
            if self._bytes + len(data) <= HELD_MAX_BYTES:
                self._bytes += len(data)
                kept.append((stream, data))
            else:
                kept.append((stream, self._spill(data)))
        if is_last:
            self._complete.add(task)

    def _spill(self, data: bytes) -> tuple[int, int]:
        if self._file is None:
            self._file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - lives as long as we
        at = self._file.seek(0, 2)
        self._file.write(data)
        return at, len(data)

    def is_complete(self, task: int) -> bool:
        return task in self._complete

    def tasks(self) -> list[int]:
        return sorted(self._pieces)

    def take(self, task: int) -> Iterable[Piece]:
        self._complete.discard(task)
        for stream, data in self._pieces.pop(task, ()):
            if isinstance(data, bytes):
                self._bytes -= len(data)
                yield Piece(stream, data)
            elif self._file is not None:
                at, size_bytes = data
                self._file.seek(at)
                yield Piece(stream, self._file.read(size_bytes))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
