"""The door to the head of a cluster, as the commands need it: opened late, closed always."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

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
    """Whether a head holds its lock."""
    from covey.scheduler.folding import head_is_up

    return head_is_up(settings.state_dir)


def not_up(settings: Settings) -> NotUp:
    """The error that says which cluster is not up and what to type."""
    extra = "" if settings.cluster == "default" else f" --cluster {settings.cluster}"
    return NotUp(
        f"cluster {settings.cluster} is not up — start it with: covey up --local 2{extra}",
        cluster=settings.cluster,
    )


def start_cluster(settings: Settings, machines: int, slots: str | None) -> dict[str, Any]:
    """Start `machines` virtual machines and a head here; the answer names them.

    slots: of each, as typed (`4`, `150%`, `physical`); None = the CPUs that may be used.

    Raises:
        AlreadyUp: a head runs, and all its machines do.
        SettingsError: `slots` is no number of slots.
    """
    from covey.head.processes import up_local

    return up_local(settings, machines=machines, slots=slots)


def stop_cluster(settings: Settings) -> dict[str, Any]:
    """Stop the head and all that it keeps; the answer says whether it `was_up`, and names them."""
    from covey.head.processes import down

    return down(settings)
