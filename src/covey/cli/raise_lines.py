"""A line per machine while a cluster is brought up: ✔ with what it is, ✗ with reason and remedy."""

import sys
from collections.abc import Sequence

from covey.cli.output import counted, has_colour, note, printable, say
from covey.client.reach import view_of
from covey.head.raising import Raised, Up
from covey.head.reason import explained
from covey.model.job import OPEN_STATES
from covey.settings import Settings

_GREEN, _RED, _PLAIN = "\033[32m", "\033[31m", "\033[0m"
#: Names of machines that failed, in the summary; more are counted.
FAILED_SHOWN_MAX = 8
#: Jobs that one line names.
JOBS_SHOWN_MAX = 8
_DONE = {"running": "was up", "replaced": "replaced", "sent": "archive is there"}


class MachineLines:
    """Says how it went with each machine, as it comes."""

    def __init__(self, names: Sequence[str], *, is_quiet: bool) -> None:
        """names: of those that are to come; they set the width. is_quiet: say nothing."""
        self._width = max((len(name) for name in names), default=0)
        self._is_quiet = is_quiet
        self._colours = (_GREEN, _RED, _PLAIN) if has_colour(sys.stdout) else ("", "", "")

    def show(self, machine: Raised) -> None:
        """The line of one machine. Virtual ones have a sentence together, at the end."""
        if self._is_quiet or machine.kind == "local":
            return
        green, red, plain = self._colours
        name = printable(machine.name).ljust(self._width)
        if machine.error is not None:
            say(f"  {red}✗{plain} {name}  {_failure(machine)}")
        else:
            say(f"  {green}✔{plain} {name}  {_success(machine)}")
        sys.stdout.flush()
        for line in machine.notes:
            note(f"covey: {machine.name}: {printable(line)}")

    def waits(self, name: str) -> None:
        """Its agent is of another version, and finishes what it has first."""
        if not self._is_quiet:
            note(f"covey: {name}: its agent is replaced when its tasks have ended (--now: at once)")


def _success(machine: Raised) -> str:
    python = f"py{'.'.join(machine.python.split('.')[:2])}" if machine.python else ""
    slots = counted(machine.slots, "slot") if machine.slots else ""
    word = _DONE.get(machine.state, "")
    columns = [machine.platform.ljust(14), python.ljust(6), slots.rjust(9)]
    time = f"{machine.elapsed_s:5.1f} s"
    return "  ".join([*columns, time, *([word] if word else [])]).rstrip()


def _failure(machine: Raised) -> str:
    assert machine.error is not None
    reason, remedy = explained(machine.error)
    sentence = printable(f"{reason} — {remedy}" if remedy else reason)
    return f"{sentence}  ({machine.elapsed_s:.1f} s)"


def summary_of(done: Up) -> str:
    """`37 machines · 148 slots · 2 failed (h7, h12) · again: covey up h7 h12`."""
    good = [machine for machine in done.machines if machine.error is None]
    failed = [machine.name for machine in done.machines if machine.error is not None]
    parts = [counted(len(good), "machine")]
    if slots := sum(machine.slots for machine in good):
        parts.append(counted(slots, "slot"))
    if failed:
        shown = ", ".join(failed[:FAILED_SHOWN_MAX])
        more = " …" if len(failed) > FAILED_SHOWN_MAX else ""
        parts.append(f"{len(failed)} failed ({shown}{more})")
        if not more:
            parts.append(f"again: covey up {' '.join(failed)}")
    return "  " + " · ".join(parts)


def taken_up(settings: Settings) -> str:
    """What a head that has just begun goes on with, for people; "" = nothing was left."""
    numbers = [row.job for row in view_of(settings).jobs(states=OPEN_STATES) if row.run is None]
    if not numbers:
        return ""
    shown = ", ".join(map(str, numbers[:JOBS_SHOWN_MAX])) + (
        " …" if len(numbers) > JOBS_SHOWN_MAX else ""
    )
    jobs, go = ("job", "goes") if len(numbers) == 1 else ("jobs", "go")
    return f"{jobs} {shown} {go} on, left open before: covey attach {numbers[0]}"
