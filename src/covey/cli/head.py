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
    extra = "" if settings.cluster == "default" else f" --cluster {settings.cluster}"
    return NotUp(
        f"cluster {settings.cluster} is not up — start it with: covey up --local 2{extra}",
        cluster=settings.cluster,
    )
