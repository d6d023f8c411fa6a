"""Where a job may run, in words: what its progress begins with."""

from collections.abc import Mapping
from typing import Any

from covey.model.constraint import fits
from covey.model.job import JobSpec, Shape


def where_of(status: Mapping[str, Any], spec: JobSpec) -> str:
    """The ready machines that may run it, and their slots, out of what `covey status` knows."""
    shapes = spec.shapes or (Shape(),)
    rows = [
        row
        for row in status["machines"]
        if row["state"] == "ready"
        and any(fits(terms, row["name"], row["groups"]) for terms in shapes)
    ]
    return where_text(len(rows), sum(row["slots"] for row in rows), is_private=False)


def where_text(machines: int, slots: int, *, is_private: bool) -> str:
    """`this machine, 2 slots`, `3 machines, 24 slots`."""
    place = "this machine" if is_private else _counted(machines, "machine")
    return f"{place}, {_counted(slots, 'slot')}"


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
