"""Names of things: each id is a type of its own and safe as one token of a bus subject."""

import re
from typing import NewType

from covey.settings import NAME_PATTERN

#: The name of a cluster; `default` unless the user says otherwise.
ClusterName = NewType("ClusterName", str)
#: An agent: a slug of its machine's name, unique in its cluster.
AgentId = NewType("AgentId", str)
#: A scheduler: `head`, or a random token for the one inside a client.
SchedulerId = NewType("SchedulerId", str)
#: A job, counted from 1; unique with its scheduler.
JobId = NewType("JobId", int)


def is_token(text: str) -> bool:
    """Whether `text` may stand as one token of a subject."""
    return NAME_PATTERN.match(text) is not None


def slug(text: str) -> str:
    """A token made of `text`: other characters become `-`; never empty, at most 64 long."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:64] or "machine"
