"""Shared schedulers by name: which there are, and what they are called on the bus."""

import difflib
from collections.abc import Iterable, Mapping

from covey.client.reach import HeadFiles, HeadRecord, head_files
from covey.errors import NotUp, UsageError
from covey.settings import NAME_PATTERN, Settings

#: Before the name of a shared scheduler, so that it is nobody else's on the bus.
_PREFIX = "scheduler-"
#: Longest name of a shared scheduler: with the prefix it is one token of a subject.
NAME_MAX = 64 - len(_PREFIX)


def bus_name(name: str) -> str:
    """What a shared scheduler is called on the bus."""
    return _PREFIX + name


def checked_name(name: str) -> str:
    """The name, if one can have it.

    Raises:
        UsageError: it has other characters, or is too long.
    """
    if not NAME_PATTERN.match(name) or len(name) > NAME_MAX:
        raise UsageError(
            f"scheduler name {name!r}: use letters, digits, - and _ (at most {NAME_MAX})"
        )
    return name


def checked_list(settings: Settings, names: Iterable[str]) -> tuple[str, ...]:
    """The schedulers that a client names, each once.

    Raises:
        UsageError: none is named, or one that this cluster never had.
        NotUp: none of them runs.
    """
    wanted = tuple(dict.fromkeys(checked_name(name) for name in names))
    if not wanted:
        raise UsageError("name at least one scheduler, or leave the list of schedulers out")
    known = head_files(settings).schedulers()
    running = [name for name, record in known.items() if record.is_alive]
    there = f"these run: {', '.join(running)}" if running else "none runs"
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}, or start it with" if near else "start it with"
            raise UsageError(
                f"there is no scheduler {name} in cluster {settings.cluster} ({there}): {hint}:"
                f" covey scheduler --name {name}"
            )
    if not set(wanted) & set(running):
        raise NotUp(
            f"in cluster {settings.cluster}, {_listed(wanted)} ({there}): start it with: covey"
            f" scheduler --name {wanted[0]}"
        )
    return wanted


def running_in(files: HeadFiles) -> Mapping[str, HeadRecord]:
    """The shared schedulers that run."""
    return {name: record for name, record in files.schedulers().items() if record.is_alive}


def _listed(names: tuple[str, ...]) -> str:
    if len(names) == 1:
        return f"scheduler {names[0]} does not run any more"
    return f"none of the schedulers {', '.join(names)} runs any more"
