"""`covey join` and `covey leave`: this machine comes to a head, not the head to it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import click

from covey.cli.call import Call, command
from covey.cli.output import note, print_json, printable, say
from covey.client.joining import default_name, join_detached, join_here, joined, leave_all
from covey.client.keeper import JoinOrder
from covey.errors import ConnectFailed, NotUp, UsageError
from covey.settings import Settings

#: Where antnest's masters listened. ssh never does.
ANTNEST_PORT = 33310


@command(
    "join",
    examples="""
covey join pi@always-on
covey join always-on --slots 4 --name desk3
covey join --config slave.json
""",
)
@click.argument("to", metavar="[HEAD]", required=False, default="")
@click.option("--slots", metavar="S", default="", help="A number, 150% of the CPUs, or `physical`.")
@click.option("--name", metavar="NAME", default="", help="Its name there (default: the host name).")
@click.option("--foreground", is_flag=True, help="Stay until Ctrl-C, instead of going on behind.")
@click.option(
    "--config",
    metavar="FILE",
    default="",
    help='antnest\'s slave JSON: {"masters": [{"hostname": …, "ip": …}]}, tried in order.',
)
def join(call: Call, to: str, slots: str, name: str, config: str, *, foreground: bool) -> None:
    """Make this machine one of the cluster whose head is on HEAD ([user@]host[:port]).

    For machines that the head cannot reach: they reach it, by their own ssh. An agent runs here
    until `covey leave`, or until the head takes it or the cluster down. Any time is right, also
    while jobs run: they use the new slots at once. A lost connection is made again by itself.
    """
    settings = call.settings()
    heads = _heads(to, config)
    failures: list[str] = []
    for one in heads:
        order = JoinOrder(one, settings.cluster, name or default_name(), slots)
        try:
            _join(call, settings, order, foreground=foreground)
        except (ConnectFailed, NotUp) as error:
            if len(heads) == 1:
                raise
            failures.append(f"{one}: {error.message}")
            note(f"covey: {printable(failures[-1])}")
        else:
            return
    raise ConnectFailed(f"no master of {config} takes us: {'; '.join(failures)}", kind="none")


def _join(call: Call, settings: Settings, order: JoinOrder, *, foreground: bool) -> None:
    def tell(line: str) -> None:
        if call.as_json:
            print_json({"head": order.head, "cluster": order.cluster, "name": order.agent})
            return
        say(line)
        say("leave it: Ctrl-C" if foreground else "leave it: covey leave")

    (join_here if foreground else join_detached)(settings, order, tell)


def _heads(head: str, config: str) -> list[str]:
    """The heads to try, in order."""
    if bool(head) == bool(config):
        raise UsageError("say which head: covey join [user@]host, or --config FILE")
    return [head] if head else masters_of(config)


def masters_of(path: str) -> list[str]:
    """The masters of antnest's slave configuration, as ssh is to call them.

    Raises:
        UsageError: it is none.
    """
    try:
        plain: Any = json.loads(Path(path).expanduser().read_text())
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}") from error
    masters = cast("dict[str, Any]", plain).get("masters") if isinstance(plain, dict) else None
    if not isinstance(masters, list) or not masters:
        raise UsageError(f'{path}: it must be {{"masters": [{{"hostname": …}}, …]}}')
    return [
        _master(path, number, one) for number, one in enumerate(cast("list[Any]", masters), start=1)
    ]


def _master(path: str, number: int, one: object) -> str:
    master: dict[str, Any] = cast("dict[str, Any]", one) if isinstance(one, dict) else {}
    hostname = master.get("hostname")
    if not isinstance(hostname, str) or not hostname:
        raise UsageError(f"{path}: master {number} has no hostname")
    address = master.get("ip") or hostname
    port = master.get("port") or ANTNEST_PORT
    if not isinstance(port, int) or not isinstance(address, str):
        raise UsageError(f"{path}: master {number}: ip is a text, port a number")
    if port == ANTNEST_PORT:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@command("leave", examples="covey leave\ncovey leave desk3")
@click.argument("names", nargs=-1, metavar="[NAME]...")
def leave(call: Call, names: Sequence[str]) -> None:
    """End what `covey join` began here: the agent, its tasks, the connection.

    Without NAME all that this machine joined. When it joined nothing, it says so and ends with 0.
    """
    keepers = [one for one in joined(call.settings()) if not names or one.agent in names]
    ended = leave_all(keepers)
    if call.as_json:
        print_json({"left": [{"name": one.agent, "head": one.head} for one in ended]})
        return
    if not ended:
        note("covey: this machine has joined nothing")
    for one in ended:
        say(f"left {one.head} ({one.agent})")
