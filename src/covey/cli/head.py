"""The door to the head of a cluster, as the commands need it: opened late, closed always."""

import shlex
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from covey.errors import NotUp
from covey.settings import Settings

if TYPE_CHECKING:
    from covey.client.client import HeadClient
    from covey.fleet.host import Host

#: Machines that are named in what to type, at most.
HOSTS_SHOWN = 8
#: Where those come from that were named in a command (`Host.where`).
_TYPED = "the command line"
#: Read without being named.
CONFIG_NAME = "covey.toml"


@contextmanager
def head_of(settings: Settings) -> Generator["HeadClient"]:
    """The head of the cluster.

    Raises:
        NotUp: nobody holds the head's lock.
    """
    if not is_up(settings):
        raise not_up(settings)
    from covey.client.client import HeadClient

    with HeadClient.connect(settings) as head:
        yield head


def is_up(settings: Settings) -> bool:
    """Whether a head holds its lock; one that is far is taken to be there."""
    from covey.client import reach

    return reach.is_up(settings)


def limited(settings: Settings, limit: str) -> list[str]:
    """The machines of the cluster that `--limit` means ("" = all), in the order of `up`.

    Raises:
        UsageError: a word of it fits none.
    """
    from covey.client.reach import labels_of
    from covey.fleet.limit import select

    known = labels_of(settings)
    return select(known, limit) if limit else [name for name, _ in known]


def not_up(settings: Settings) -> NotUp:
    """The error that says which cluster is not up and what to type."""
    from covey.client.cluster import files_of

    name = settings.cluster
    call, told = _call(settings), f"start it with: {way_up(settings)}"
    if files_of(settings).machines():
        # Nobody took it down.
        told = f"its head was killed: start it again with: {way_up(settings)}"
    elif not files_of(settings).traces():
        told = f"start it with: {call} up HOST…, or on this machine: {way_up(settings)}"
    return NotUp(f"cluster {name} is not up — {told}", cluster=name)


def _call(settings: Settings) -> str:
    name = settings.cluster
    return "covey" if name == "default" else f"covey --cluster {name}"


def way_up(settings: Settings) -> str:
    """What to type to bring the cluster back, on the machines that it had."""
    from covey.client.cluster import files_of

    call, files = _call(settings), files_of(settings)
    if settings.head:
        return f"{call} up --head {settings.head}"
    if files.machines():
        return f"{call} up"
    hosts = sorted((trace.host for trace in files.traces()), key=lambda host: host.name)
    if not hosts:
        return f"{call} up --local 2"
    # What a list says of a machine is said by the list again.
    lists = sorted({name for host in hosts if (name := _list_of(host))})
    logins = [host.login for host in hosts if host.where in ("", _TYPED)]
    shown = [*logins[:HOSTS_SHOWN], *(["…"] if len(logins) > HOSTS_SHOWN else [])]
    return " ".join([call, "up", *(f"-H {shlex.quote(name)}" for name in lists), *shown])


def _list_of(host: "Host") -> str:
    """The file that named it ("" = none, or one that is read anyway)."""
    name, colon, _ = host.where.rpartition(":")
    return name if colon and Path(name).name != CONFIG_NAME else ""
