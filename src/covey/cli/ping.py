"""`covey ping`: an echo from each machine."""

from collections.abc import Mapping
from typing import Any, cast

from covey.cli.call import Call, command, limit_option
from covey.cli.head import head_of, limited
from covey.cli.output import print_json, say


@command("ping", examples="covey ping\ncovey ping --limit 'lab*,!lab3'\ncovey ping --json")
@limit_option
def ping(call: Call, limit: str) -> int:
    """Have each machine send an echo, and show how long it took.

    Ends with 1 when a machine does not answer. distsys asked the services of its local mode the
    same way.
    """
    settings = call.settings()
    with head_of(settings) as head:
        answer = head.ask("ping")
    chosen = set(limited(settings, limit)) if limit else None
    machines = [one for one in machines_of(answer) if chosen is None or one["name"] in chosen]
    silent = [machine for machine in machines if machine.get("latency_s") is None]
    if call.as_json:
        print_json({"cluster": settings.cluster, **answer, "machines": machines})
    else:
        width = max((len(str(machine["name"])) for machine in machines), default=0)
        for machine in machines:
            name = str(machine["name"]).ljust(width)
            if machine.get("latency_s") is None:
                say(f"No echo from   {name}")
            else:
                say(f"Echo sent from {name}  {milliseconds(machine['latency_s'])}")
    return 1 if silent else 0


def machines_of(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows about machines in an answer of the head."""
    found = answer.get("machines", [])
    if not isinstance(found, list):
        return []
    rows = cast("list[Any]", found)
    return [row if isinstance(row, dict) else {"name": str(row)} for row in rows]


def milliseconds(seconds: float) -> str:
    """`0.4 ms`."""
    return f"{seconds * 1000:.1f} ms"
