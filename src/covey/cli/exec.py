"""`covey exec`: one command on one machine, with our own stdin, terminal and exit code."""

import sys
from collections.abc import Sequence

import click

from covey.cli.call import Call, command
from covey.cli.duration import parse_duration
from covey.cli.foreign import ForeignCommand, split_words
from covey.cli.output import print_json, text_or_base64
from covey.client.cluster import Machine
from covey.client.direct import gather, machine_of, pass_through
from covey.errors import UsageError
from covey.settings import Settings


@command(
    "exec",
    cls=ForeignCommand,
    examples="""
covey exec lab1 -- hostname
covey exec lab1 -- 'cat > notes.txt' < notes.txt
covey exec lab1 -- top
covey exec --timeout 30s lab1 -- ./check.sh
covey exec lab1
""",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="MACHINE [-- CMD...]")
@click.option("--timeout", metavar="TIME", default="", help="Kill it after so long, e.g. 30s.")
@click.option("--no-tty", is_flag=True, help="No terminal there, though there is one here.")
def exec_(call: Call, words: Sequence[str], timeout: str, *, no_tty: bool) -> int:
    """Run a command on one machine, as if it were here.

    Standard input, output and the exit code pass through; where this is a terminal, it has one
    there too. One word behind -- is a line for the shell there (sh), several are a program and its
    arguments. Without a command it is a shell. It starts in the machine's working directory, rides
    in the ssh connection that is there, and is no job.

    Exit code: that of the command; 124 time limit, 125 covey itself failed, 126 and 127 as a shell
    (cannot be run, not found), 128+n killed by signal n.
    """
    before, behind = split_words(words)
    if not before:
        raise UsageError("say on which machine — for example: covey exec lab1 -- hostname")
    settings = call.settings()
    command_words = [*before[1:], *(behind or [])]
    machine = machine_of(settings, before[0])
    timeout_s = parse_duration(timeout) if timeout else 0.0
    if call.as_json:
        return _as_json(settings, machine, command_words, timeout_s)
    is_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    return pass_through(
        settings, machine, command_words, tty=is_terminal and not no_tty, timeout_s=timeout_s
    )


def _as_json(settings: Settings, machine: Machine, words: Sequence[str], timeout_s: float) -> int:
    stdin = b"" if sys.stdin.isatty() else sys.stdin.buffer.read()
    done = gather(settings, machine, words, stdin=stdin, timeout_s=timeout_s)
    value = {
        "cluster": settings.cluster,
        "machine": machine.name,
        "exit": done.code,
        "stdout": text_or_base64(done.out),
        "stderr": text_or_base64(done.err),
    }
    print_json(value)
    return done.code
