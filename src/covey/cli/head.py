"""The door to the head of a cluster, as the commands need it: opened late, closed always."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from covey.errors import NotUp
from covey.settings import Settings

if TYPE_CHECKING:
    from covey.client.client import HeadClient


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
    call = "covey" if name == "default" else f"covey --cluster {name}"
    told = f"start it with: {call} up HOST…, or on this machine: {call} up --local 2"
    if files_of(settings).machines():
        # Nobody took it down.
        told = f"its head was killed: start it again with: {call} up"
    return NotUp(f"cluster {name} is not up — {told}", cluster=name)
