"""Asks before something goes for good: a word must be typed."""

import sys
from dataclasses import replace

from covey.agent.outputs import COUNT_MAX, Held
from covey.cli.output import counted, note, printable, size
from covey.errors import UsageError
from covey.head.holdings import Holding, holdings
from covey.head.lowering import DownOrder
from covey.settings import Settings

#: What is typed to let it go on.
YES = "YES"
#: Directories of one machine that are shown; the rest is counted.
SHOWN_MAX = 20


def confirmed(question: str) -> bool:
    """Whether `YES` is typed; nothing at all is no."""
    sys.stderr.write(f"{question} Type {YES} to go on: ")
    sys.stderr.flush()
    typed = sys.stdin.readline()
    if not sys.stdin.isatty():
        # Piped in, as `yes YES | covey erase`.
        note("")
    return typed.strip() == YES


def check_can_ask() -> None:
    """Refuse to ask nobody.

    Raises:
        UsageError: there is no terminal.
    """
    if not sys.stdin.isatty():
        raise UsageError(
            f"--data asks for {YES} on a terminal, and there is none; --yes removes without asking"
        )


def with_consent(settings: Settings, order: DownOrder, *, even_if_none: bool) -> DownOrder:
    """The order, once what tasks wrote was listed and it was agreed to.

    even_if_none: asks also where nothing is listed; else nothing but covey goes then.

    Raises:
        UsageError: it was not agreed to. Nothing has happened.
    """
    found = holdings(settings, order)
    for one in found:
        _show(one)
    total = sum(len(one.held) for one in found)
    if total == 0 and not even_if_none:
        note("covey: tasks have left no data on these machines")
        # What is written from now on was not asked for.
        return replace(order, is_data=False)
    what = "all that is listed, and covey itself," if total else "covey"
    if not confirmed(f"This stops covey there and removes {what} for good."):
        raise UsageError(f"nothing was removed: type {YES}, or give --yes")
    return order


def _show(holding: Holding) -> None:
    if holding.why:
        note(f"{holding.name}: not reached ({printable(holding.why)}); what is there stays")
        return
    if not holding.held:
        note(f"{holding.name}: nothing")
        return
    note(holding.name)
    for one in holding.held[:SHOWN_MAX]:
        note(f"  {printable(one.path)}  {_described(one)}")
    if (rest := len(holding.held) - SHOWN_MAX) > 0:
        note(f"  and {rest} more")


def _described(held: Held) -> str:
    more = " or more" if held.files >= COUNT_MAX else ""
    files = f"{counted(held.files, 'file')}{more}, {size(held.size_bytes)}"
    return f"{counted(held.tasks, 'task')}, {files}" if held.tasks else files
