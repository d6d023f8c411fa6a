"""`--results`: the output of each task in files of its own, or in one .csv, .tsv or .json file.

The layout is GNU parallel's: DIR/1/VALUE/2/VALUE/{stdout,stderr,seq}, or names of columns in place
of the numbers; a name with replacement strings is filled in for each task. Two differences keep
tasks apart: a value of one or two dots gets a backslash before it, and one too long for a file name
ends in a digest of it.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from covey.cli.map.plan import MapPlan
from covey.cli.map.rows import Logged
from covey.errors import FileError, UsageError
from covey.model.template import Template

#: Longest name of a directory made of a value; most file systems take 255 bytes.
NAME_MAX_BYTES = 240
_FIELDS = ("Seq", "Host", "Starttime", "JobRuntime", "Send", "Receive", "Exitval", "Signal")
_QUOTED = re.compile(rb"[\s\",\x00-\x1f\x7f]")
_ESCAPES = ((b"\\", b"\\\\"), (b"\t", b"\\t"), (b"/", b"\\_"))


class Results(Protocol):
    """Takes the output of tasks as they end."""

    def write(self, task: Logged) -> None:
        """Keeps the output of a task."""
        ...

    def has(self, args: Sequence[bytes], seq: int) -> bool:
        """Whether output of this task was kept by an earlier run (for --resume)."""
        ...

    def close(self) -> None:
        """Nothing more will come."""
        ...


def open_results(
    plan: MapPlan, names: tuple[bytes, ...], *, append: bool = False
) -> Results | None:
    """Where the output of a plan's tasks goes; None = to standard output.

    `append`: the job went on before (as with --resume and its kin): a table keeps what it has.

    Raises:
        UsageError: it cannot be written.
    """
    target = plan.results
    if target is None:
        return None
    kind = target.rpartition(".")[2]
    if kind in ("csv", "tsv", "json") and target != kind:
        return _Table(target, kind, names, append=append or plan.is_numbered)
    name = Template.parse(os.fsencode(target), names=names, append=False)
    if name.uses_arguments or any(not isinstance(part, bytes) for part in name.parts):
        return _NamedFiles(name)
    several = plan.arguments_max != 1 and plan.colsep is None
    return _Tree(Path(target), names, width=max(len(plan.sources), 1) if several else 0)


def _cannot_write(path: object, error: OSError) -> FileError:
    return FileError(f"cannot write the results to {path}: {error.strerror}", path=path)


def _cannot_begin(path: object, error: OSError) -> UsageError:
    advice = "give --results a place where you may write"
    return UsageError(f"cannot write the results to {path}: {error.strerror} — {advice}")


class _Tree:
    """DIR/1/VALUE/…/{stdout,stderr,seq}."""

    def __init__(self, root: Path, names: tuple[bytes, ...], width: int) -> None:
        self._root = os.fsencode(root)
        self._names = names
        self._width = width
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_begin(root, error) from error

    def _folder(self, args: Sequence[bytes]) -> bytes:
        pairs: Iterable[tuple[bytes, bytes]]
        if self._names:
            pairs = sorted(zip(self._names, args, strict=False), key=lambda pair: _order(pair[0]))
        else:
            width = self._width or len(args) or 1
            pairs = ((b"%d" % (n % width + 1), value) for n, value in enumerate(args))
        folders = [word for name, value in pairs for word in (_name(name), _name(value))]
        return os.path.join(self._root, *filter(None, folders))

    def has(self, args: Sequence[bytes], seq: int) -> bool:
        return os.path.exists(os.path.join(self._folder(args), b"seq"))

    def write(self, task: Logged) -> None:
        folder = self._folder(task.args)
        try:
            os.makedirs(folder, exist_ok=True)
            _save(os.path.join(folder, b"stdout"), task.out)
            _save(os.path.join(folder, b"stderr"), task.err)
            # Last: what has a seq is complete.
            _save(os.path.join(folder, b"seq"), b"%d" % task.seq)
        except OSError as error:
            raise _cannot_write(os.fsdecode(folder), error) from error

    def close(self) -> None:
        pass


class _NamedFiles:
    """NAME, NAME.err and NAME.seq; or files in the directory NAME/."""

    def __init__(self, name: Template) -> None:
        self._name = name

    def _paths(self, args: Sequence[bytes], seq: int) -> tuple[bytes, bytes, bytes]:
        path = self._name.fill(args, seq, 1)
        if path.endswith(b"/"):
            return path + b"stdout", path + b"stderr", path + b"seq"
        return path, path + b".err", path + b".seq"

    def has(self, args: Sequence[bytes], seq: int) -> bool:
        return os.path.exists(self._paths(args, seq)[2])

    def write(self, task: Logged) -> None:
        out, err, seq = self._paths(task.args, task.seq)
        try:
            if folder := os.path.dirname(out):
                os.makedirs(folder, exist_ok=True)
            _save(out, task.out)
            _save(err, task.err)
            _save(seq, b"%d" % task.seq)
        except OSError as error:
            raise _cannot_write(os.fsdecode(out), error) from error

    def close(self) -> None:
        pass


class _Table:
    """One line (CSV, TSV, JSON Lines) for each task; `-.csv` and the like mean standard output."""

    def __init__(self, target: str, kind: str, names: tuple[bytes, ...], *, append: bool) -> None:
        self._target = target
        self._kind = kind
        self._names = names
        self._comma = b"\t" if kind == "tsv" else b","
        self._needs_header = kind != "json"
        self._file: BinaryIO
        self._is_stdout = target == f"-.{kind}"
        if self._is_stdout:
            self._file = cast(BinaryIO, sys.stdout.buffer)
            return
        try:
            self._file = open(target, "ab" if append else "wb")  # noqa: SIM115 - see close
        except OSError as error:
            raise _cannot_begin(target, error) from error
        self._needs_header &= self._file.tell() == 0

    def has(self, args: Sequence[bytes], seq: int) -> bool:
        return False

    def write(self, task: Logged) -> None:
        data = _json_line(task) if self._kind == "json" else self._row(task)
        if self._needs_header:
            self._needs_header = False
            columns = self._names or [b"V%d" % n for n in range(1, len(task.args) + 1)]
            words = [*map(str.encode, _FIELDS), b"Command", *columns, b"Stdout", b"Stderr"]
            data = self._comma.join(map(self._cell, words)) + b"\n" + data
        try:
            self._file.write(data)
            self._file.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            raise _cannot_write(self._target, error) from error

    def _row(self, task: Logged) -> bytes:
        numbers = (
            f"{task.seq} {task.host} {task.started:.3f} {task.runtime_s:.3f} {task.send}"
            f" {task.receive} {task.exitval} {task.signal}"
        )
        cells = [*numbers.encode().split(b" "), task.command, *task.args, task.out, task.err]
        return self._comma.join(map(self._cell, cells)) + b"\n"

    def _cell(self, value: bytes) -> bytes:
        if _QUOTED.search(value) is None or (value == b"," and self._kind == "tsv"):
            return value
        if self._kind == "tsv" and _QUOTED.search(value.replace(b",", b"")) is None:
            return value
        return b'"' + value.replace(b'"', b'""') + b'"'

    def close(self) -> None:
        if not self._is_stdout:
            with suppress(OSError):
                self._file.close()


def _order(name: bytes) -> tuple[float, bytes]:
    # The order of GNU parallel's directories: by number, words (which have none) first.
    found = re.match(rb"\s*-?\d+(?:\.\d+)?", name)
    return float(found[0]) if found else 0.0, name


def _name(value: bytes) -> bytes:
    if value in (b".", b".."):
        return b"\\" + value
    for raw, escaped in _ESCAPES:
        value = value.replace(raw, escaped)
    if len(value) > NAME_MAX_BYTES:
        digest = hashlib.sha256(value).hexdigest()[:16].encode()
        value = value[: NAME_MAX_BYTES - 17] + b"~" + digest
    return value


def _save(path: bytes, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _json_line(task: Logged) -> bytes:
    """One JSON object. Bytes that are no UTF-8 stand as lone surrogates, which lose nothing."""
    values = (
        *(task.seq, task.host, round(task.started, 3), round(task.runtime_s, 3)),
        *(task.send, task.receive, task.exitval, task.signal),
    )
    value = {
        **dict(zip(_FIELDS, values, strict=True)),
        "Command": _text(task.command),
        "V": [_text(value) for value in task.args],
        "Stdout": _text(task.out),
        "Stderr": _text(task.err),
    }
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
