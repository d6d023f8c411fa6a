"""What a job runs, as text: the command line that began it, and that of each of its tasks."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from covey.cli.map.grammar import parse_map
from covey.errors import DecodeError, UsageError
from covey.model.template import Template
from covey.scheduler.rows import OutcomeRow


class TaskText(NamedTuple):
    """A task as its joblog names it: its number there, its arguments, its command line."""

    seq: int
    args: list[bytes]
    command: bytes


def command_line(client: Mapping[str, object]) -> bytes:
    """The command line that began a job, or the name of its function; b"" when unknown."""
    command = client.get("command", b"")
    if isinstance(command, str):
        return command.encode("utf-8", "surrogateescape")
    return command if isinstance(command, bytes) else b""


class Commands:
    """Names the tasks of a job; made from the `client` part of its specification.

    That holds the `template`, or the `argv` of covey map from which it is parsed again.
    """

    def __init__(self, client: Mapping[str, object]) -> None:
        self._name = command_line(client)
        self._template = _template(client)

    def __call__(self, row: OutcomeRow) -> TaskText:
        """How that task is named; one of a callable has the name of the job."""
        args = row.args
        template = self._template
        if template is None:
            return TaskText(row.task, args, self._name)
        seq = row.task
        command = template.command_text(args, row.task, row.slot)
        if template.numbered and args:
            plain, seq = template.unnumbered(args)
            args = list(plain)
        return TaskText(seq, args, command)


def _template(client: Mapping[str, object]) -> Template | None:
    """None where there is none, or where another version wrote what cannot be read here."""
    try:
        if "template" in client:
            return Template.from_wire(client["template"])
        argv = client.get("argv")
        if not isinstance(argv, list):
            return None
        plan = parse_map([str(word) for word in cast("Sequence[object]", argv)])
        return plan.template()
    except (DecodeError, UsageError):
        return None
