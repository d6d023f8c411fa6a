"""`covey drain`: a machine finishes what it has and takes no more."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from covey.cli.call import Call, command, limit_option
from covey.cli.duration import duration, parse_duration
from covey.cli.head import head_of
from covey.cli.offer import machine_names
from covey.cli.output import counted, note, print_json, say
from covey.cli.ping import machines_of
from covey.client.client import HeadClient
from covey.client.cluster import files_of
from covey.errors import UsageError
from covey.fleet.limit import select
from covey.model.agent_state import AgentState
from covey.settings import Settings

#: Between two looks of --wait.
LOOK_EVERY_S = 0.2
#: It is said on stderr what is waited for after this long, and then each time.
SAY_EVERY_S = 5.0


@command(
    "drain",
    examples="""
covey drain lab3
covey drain lab3 --wait && ssh lab3 sudo reboot
covey drain --undo lab3
covey drain --limit '@pis'
""",
)
@click.argument("machines", nargs=-1, metavar="[MACHINE]...", shell_complete=machine_names)
@limit_option
@click.option("--undo", is_flag=True, help="Take work again.")
@click.option("--wait", is_flag=True, help="Return when nothing runs there any more.")
@click.option("--timeout", metavar="TIME", help="Longest wait, e.g. 10m; then it ends with 1.")
def drain(
    call: Call, machines: Sequence[str], limit: str, undo: bool, wait: bool, timeout: str | None
) -> int:
    """Let MACHINEs finish what they have; they are given no more tasks.

    What was handed to them and has not begun runs elsewhere. `covey run` and `covey exec` still
    reach them. It holds until `drain --undo`, also when the head is started again.
    """
    settings = call.settings()
    names = _names(settings, machines, limit)
    until = None if timeout is None else time.monotonic() + parse_duration(timeout)
    with head_of(settings) as head:
        head.ask("drain", machines=names, on=not undo)
        left = _await_idle(head, names, until) if wait and not undo else _left(head, names)
    if call.as_json:
        value = {"busy": left.busy, "silent": left.silent}
        print_json({"machines": names, "draining": not undo, **value})
    elif undo:
        say(f"takes work again: {', '.join(names)}")
    else:
        say(f"drained: {', '.join(names)} ({left})")
    return 1 if wait and not undo and left.is_any else 0


@dataclass(frozen=True, slots=True)
class _Left:
    """What still runs on the machines, as far as they can be asked."""

    busy: dict[str, int]
    #: Out of reach: what runs there is not known.
    silent: list[str]

    @property
    def is_any(self) -> bool:
        return bool(self.silent) or any(self.busy.values())

    def __str__(self) -> str:
        running = sum(self.busy.values())
        parts = [f"{counted(running, 'task')} still running"] if running else []
        if self.silent:
            parts.append(f"out of reach: {', '.join(self.silent)}")
        return ", ".join(parts) or "nothing runs there"


def _names(settings: Settings, machines: Sequence[str], limit: str) -> list[str]:
    if not machines and not limit:
        raise UsageError("say which machines — for example: covey drain lab3")
    names = list(dict.fromkeys(machines))
    if limit:
        known = files_of(settings).machines()
        names += select([(m.name, m.labels) for m in known], limit)
    return list(dict.fromkeys(names))


def _left(head: HeadClient, names: Sequence[str]) -> _Left:
    rows: dict[str, Any] = {str(row["name"]): row for row in machines_of(head.ask("status"))}
    there = [name for name in names if name in rows]
    silent = [name for name in there if rows[name]["state"] == AgentState.UNREACHABLE]
    busy = {name: int(rows[name]["busy"]) for name in there if name not in silent}
    return _Left(busy, silent)


def _await_idle(head: HeadClient, names: Sequence[str], until: float | None) -> _Left:
    began = said_at = time.monotonic()
    while (left := _left(head, names)).is_any:
        now = time.monotonic()
        if until is not None and now > until:
            break
        if now > said_at + SAY_EVERY_S:
            said_at = now
            waiting = [f"{name}: {number}" for name, number in left.busy.items() if number]
            waiting += [f"{name}: out of reach" for name in left.silent]
            note(f"covey: still waiting after {duration(now - began)}: {', '.join(waiting)}")
        time.sleep(LOOK_EVERY_S)
    return left
