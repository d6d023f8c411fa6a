"""`covey mkdir`: a directory on every machine."""

import os
import sys
from collections.abc import Sequence

import click

from covey.cli.call import Call, command, limit_option
from covey.cli.for_call import machines_of_call
from covey.cli.main import INTERRUPTED
from covey.cli.output import has_colour, note, print_json, printable, say, text_or_base64
from covey.cli.run.follow import Interrupted, follow
from covey.client.directories import MKDIR, Made, made, mkdir_errand
from covey.client.errands import ErrandOrder, ErrandResult
from covey.errors import UsageError

_BLUE, _PLAIN = "\033[34m", "\033[0m"


@command(
    "mkdir",
    examples="""
covey mkdir data
covey mkdir data tweets
covey mkdir --parents data/2026/november
covey mkdir --limit 'lab*' /scratch/me
""",
)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("-p", "--parents", is_flag=True, help="Make what is missing above it as well.")
@limit_option
def mkdir(call: Call, paths: Sequence[str], limit: str, *, parents: bool) -> int:
    """Make a directory on every machine.

    As distsys had it, two words are PARENT NAME: the directory PARENT/NAME. (Two directories: write
    the second one with a slash, as ./NAME.) A relative PATH starts in the machine's working
    directory. What is there already is said, and is no error; a missing parent is, on that machine.
    Ends with 1 when it failed on any.
    """
    settings = call.settings()
    wanted = [os.fsencode(path) for path in _wanted(paths)]
    results: list[ErrandResult] = []

    def take(result: ErrandResult) -> None:
        results.append(result)
        if not call.as_json:
            for one in made(result, wanted):
                _say(one, result.machine)

    with machines_of_call(settings, (), (), limit) as machines:
        order = ErrandOrder(
            mkdir_errand(wanted, parents=parents),
            machines=machines.names,
            kind=MKDIR,
            command=b"covey mkdir " + b" ".join(wanted),
        )
        try:
            follow(settings, order, take, live=False, ends_with_us=True)
        except Interrupted:
            return INTERRUPTED
    if call.as_json:
        results.sort(key=lambda result: result.machine)
        rows = [{"name": one.machine, "paths": _values(made(one, wanted))} for one in results]
        print_json({"cluster": settings.cluster, "machines": rows})
    return int(any(one.state == "failed" for result in results for one in made(result, wanted)))


def _wanted(words: Sequence[str]) -> Sequence[str]:
    """The paths; of two words, the second below the first.

    Raises:
        UsageError: one of them is empty.
    """
    if not all(words):
        raise UsageError("a path is empty — for example: covey mkdir data/tweets")
    if len(words) == 2 and "/" not in words[1]:
        return [os.path.join(*words)]
    return words


def _say(one: Made, machine: str) -> None:
    path = printable(one.path)
    if one.state == "failed":
        missing = os.strerror(2)
        hint = " (--parents makes what is missing)" if one.error == missing else ""
        note(f"covey: {path} @{machine}: {printable(one.error)}{hint}")
        return
    shown = f"{_BLUE}{path}{_PLAIN}" if has_colour(sys.stdout) else path
    say(f"{one.state} {shown} @{machine}")


def _values(found: Sequence[Made]) -> list[dict[str, object]]:
    return [
        {"path": text_or_base64(one.path), "state": one.state, "error": one.error} for one in found
    ]
