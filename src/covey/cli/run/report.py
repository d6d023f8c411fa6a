"""What `covey run` shows: equal outputs of machines once, files, and one line at the end."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from covey.cli.output import printable, size, text_or_base64
from covey.cli.writing import check_directory, check_writable
from covey.client.errands import End, ErrandResult
from covey.client.gathering import keep, write_in_one_piece
from covey.errors import CoveyError, FileError

#: Machines that a heading or the last line names; of more only the number is told.
NAMES_MAX = 12
#: More failed machines than this all give the exit status 101 (as GNU parallel).
FAILED_MAX = 100


@dataclass(frozen=True, slots=True)
class Group:
    """Machines on which the same came of it."""

    machines: tuple[str, ...]
    result: ErrandResult

    @property
    def heading(self) -> str:
        """`local1, local2 (2) · exit 3`."""
        count = f" ({len(self.machines)})" if len(self.machines) > 1 else ""
        how = how_it_ended(self.result)
        return f"{names_text(self.machines)}{count}" + (f" · {how}" if how else "")


def grouped(results: Iterable[ErrandResult], order: Sequence[str]) -> list[Group]:
    """Equal results together, in the order of their first machines."""
    place = {name: at for at, name in enumerate(order)}
    groups: dict[tuple[Any, ...], list[ErrandResult]] = {}
    for one in sorted(results, key=lambda result: place.get(result.machine, len(place))):
        key = (one.end, one.exit, one.signal, one.stdout, one.stderr, one.reason)
        groups.setdefault(key, []).append(one)
    return [Group(tuple(one.machine for one in found), found[0]) for found in groups.values()]


def how_it_ended(result: ErrandResult) -> str:
    """`exit 3`, `SIGKILL`, `timed out`, `unreachable: …`; "" = well."""
    if result.is_ok:
        return ""
    if result.end is not End.FAILED:
        return f"{result.end}: {printable(result.reason)}" if result.reason else str(result.end)
    if result.signal:
        import signal

        known = {int(number): number.name for number in signal.Signals}
        return known.get(result.signal, f"signal {result.signal}")
    return f"exit {result.exit}" if not result.reason else printable(result.reason)


def names_text(names: Sequence[str]) -> str:
    """`h7, h12`; of many the first ones and how many more."""
    if len(names) <= NAMES_MAX:
        return ", ".join(names)
    return f"{', '.join(names[: NAMES_MAX - 1])} and {len(names) - NAMES_MAX + 1} more"


def summary(results: Sequence[ErrandResult], again: str) -> str:
    """`37 ok · 2 failed (h7, h12) · again: covey run --last-failed -- uptime`."""
    parts = [f"{sum(result.is_ok for result in results)} ok"]
    for end in (End.FAILED, End.TIMED_OUT, End.UNREACHABLE, End.CANCELLED):
        names = [result.machine for result in results if result.end is end]
        if names:
            parts.append(f"{len(names)} {end} ({names_text(names)})")
    if len(parts) > 1 and again:
        parts.append(f"again: {again}")
    return " · ".join(parts)


def exit_code(results: Sequence[ErrandResult]) -> int:
    """The number of machines on which it did not succeed; 101 = more than 100."""
    return min(sum(not result.is_ok for result in results), FAILED_MAX + 1)


def json_value(result: ErrandResult, files: Sequence[bytes] = ()) -> dict[str, Any]:
    """One machine, as JSON shows it."""
    return {
        "name": result.machine,
        "state": str(result.end),
        "exit": result.exit,
        "signal": result.signal,
        "stdout": text_or_base64(result.stdout),
        "stderr": text_or_base64(result.stderr),
        "elapsed_s": None if result.elapsed_s is None else round(result.elapsed_s, 6),
        "reason": result.reason,
        "files": [text_or_base64(name) for name in files],
    }


@dataclass(slots=True)
class Keeper:
    """Writes what came to the files that were asked for."""

    #: `-o`, `-e`: a file for each machine.
    out_dir: str = ""
    err_dir: str = ""
    pass_file: str = ""
    fail_file: str = ""
    #: "" = nothing is gathered.
    project: str = ""
    #: Machine -> names of the files that it brought.
    gathered: dict[str, list[bytes]] = field(default_factory=dict[str, list[bytes]])
    problems: list[str] = field(default_factory=list[str])
    #: Something that was asked for could not be written here.
    has_lost: bool = False

    def prepare(self) -> None:
        """Find out what cannot be written before anything runs.

        Raises:
            UsageError: what, and why.
        """
        for option, name in (("-o", self.out_dir), ("-e", self.err_dir)):
            check_directory(option, Path(name) if name else None)
        for option, name in (("--pass-file", self.pass_file), ("--fail-file", self.fail_file)):
            check_writable(option, Path(name) if name else None)

    @property
    def directory(self) -> Path:
        """Where what machines wrote is gathered."""
        return Path("output") / self.project

    def keep(self, result: ErrandResult) -> None:
        """One machine has ended."""
        name = os.fsencode(result.machine)
        has_run = result.elapsed_s is not None
        for directory, data in ((self.out_dir, result.stdout), (self.err_dir, result.stderr)):
            if directory and has_run:
                self._write(Path(directory), [name], data)
        if self.project and has_run:
            self._gather(result)

    def finish(self, results: Sequence[ErrandResult]) -> None:
        """All have: write the lists of names."""
        for path, is_ok in ((self.pass_file, True), (self.fail_file, False)):
            if path:
                names = [result.machine for result in results if result.is_ok is is_ok]
                try:
                    Path(path).write_text("".join(f"{name}\n" for name in names))
                except OSError as error:
                    self._lose(f"cannot write {path}: {error.strerror}")

    def _gather(self, result: ErrandResult) -> None:
        directory = self.directory / result.machine
        try:
            gathered = result.gathered()
        except CoveyError as error:
            self._lose(f"{result.machine}: {error}")
            return
        names = [file.name for file in gathered.files]
        # What the program itself calls so is the program's.
        for name, data in ((b"stdout", result.stdout), (b"stderr", result.stderr)):
            if name not in names:
                self._write(directory, [name], data)
        for error in keep(gathered, directory):
            self._lose(f"{result.machine}: {error}")
        self.gathered[result.machine] = names
        if gathered.left_count:
            where = printable(gathered.directory)
            what = "1 file" if gathered.left_count == 1 else f"{gathered.left_count:,} files"
            self.problems.append(
                f"{result.machine}: {what} ({size(gathered.left_bytes)}) more than are gathered:"
                f" they stay in {where}"
            )

    def _write(self, directory: Path, parts: Sequence[bytes], data: bytes) -> None:
        try:
            write_in_one_piece(directory, parts, data)
        except FileError as error:
            self._lose(str(error))

    def _lose(self, problem: str) -> None:
        self.problems.append(problem)
        self.has_lost = True
