"""`covey run`: a command or a script on every machine at once."""

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import click

from covey.cli.call import Call, accept_new_option, command, hosts_file_option, limit_option
from covey.cli.duration import parse_duration
from covey.cli.for_call import CallMachines, machines_of_call
from covey.cli.foreign import ForeignCommand, split_words
from covey.cli.main import FAILED_CODES, INTERRUPTED
from covey.cli.output import counted, has_colour, note, print_json, say, write_bytes
from covey.cli.run.follow import Interrupted, follow
from covey.cli.run.last import last_failed, project_of, words_of
from covey.cli.run.order import Asked, read_order
from covey.cli.run.report import (
    Group,
    Keeper,
    exit_code,
    grouped,
    json_value,
    names_text,
    summary,
)
from covey.client.errands import ErrandOrder, ErrandResult, unreachable
from covey.client.users import user_of_call
from covey.errors import UsageError
from covey.settings import Settings

OK = 0
#: All succeeded, but what they brought could not be written here: covey itself failed.
NOT_KEPT = FAILED_CODES["run"]
_BOLD, _PLAIN = "\033[1m", "\033[0m"

_CHOICES = (
    click.option("--project", metavar="P", default="", help="Whose data and output it is about."),
    limit_option,
    click.option("--last-failed", is_flag=True, help="Only where the last run did not succeed."),
    click.option("--timeout", metavar="TIME", default="", help="Kill it after so long, e.g. 30s."),
    click.option("--live", is_flag=True, help="Print lines as they come, with the machine's name."),
    click.option("--env", multiple=True, metavar="NAME[=VALUE]", help="Set a variable there."),
    click.option("--name", default="", metavar="NAME", help="Name of the job (covey jobs)."),
    click.option("-o", "--outdir", default="", metavar="DIR", help="Keep stdout as DIR/MACHINE."),
    click.option("-e", "--errdir", default="", metavar="DIR", help="Keep stderr as DIR/MACHINE."),
    click.option("--pass-file", default="", metavar="FILE", help="Write who succeeded, by name."),
    click.option("--fail-file", default="", metavar="FILE", help="Write who did not, by name."),
    click.option(
        "-S",
        "--sshlogin",
        "sshlogins",
        multiple=True,
        metavar="HOSTS",
        help="On these (8/pi@rack,lab2); who is not up is brought up for this call.",
    ),
    hosts_file_option,
    accept_new_option,
)

_FOR_MAP = "it is an option of covey map"
_CHOOSE = "choose machines with --limit 'lab*,!lab3,@pis'"
#: Options of `covey map` about where tasks go -> what to do instead.
_OF_TASKS = {
    **dict.fromkeys(("--policy", "--probe-ratio", "--cancellation", "--no-cancellation"), _FOR_MAP),
    **dict.fromkeys(("--priority", "--preempt", "--user", "--spread", "--wait"), _FOR_MAP),
    **dict.fromkeys(("--label", "--constraint", "--avoid"), _CHOOSE),
}

Chosen = dict[str, Any]


def _with_choices(function: Callable[..., int]) -> Callable[..., int]:
    for choice in reversed(_CHOICES):
        function = choice(function)
    return function


class _RunCommand(ForeignCommand):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click, but what only a job of tasks has is refused by name."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            name = error.option_name.partition("=")[0]
            if name not in _OF_TASKS:
                raise
            raise UsageError(
                f"covey run goes to each machine at once and takes no slot, so {name} means"
                f" nothing there — {_OF_TASKS[name]}"
            ) from None


@command(
    "run",
    cls=_RunCommand,
    examples="""
covey run -- uptime
covey run -- 'df -h / | tail -1'
covey run --limit 'lab*,!lab3' -- ls -l /etc
covey run count.py
covey run --project tweets count.py --top 10
covey run --last-failed
covey run -S lab1,pi@rack -- uname -a
""",
)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="-- CMD... | SCRIPT [ARGS]...")
@_with_choices
def run(call: Call, words: Sequence[str], **chosen: Any) -> int:
    """Run a command or a script on every machine of the cluster, at once.

    One word behind -- is a line for the shell there (sh), several are a program and its arguments,
    byte for byte. It starts in the machine's working directory, and takes no slot from others.

    SCRIPT is a file here: it is sent where it is not there yet, and run by Python (.py) or by its
    first line, with COVEY_DATA = data/P and COVEY_OUTPUT = output/P. What it writes to COVEY_OUTPUT
    comes back to output/P/MACHINE/, with its stdout and stderr. P is --project, else the script's
    name without its suffix. As distsys had it, a plain word that is all that stands behind SCRIPT
    names the project (and is its argument as well).

    Equal outputs are printed once. Exit code: 0, 1-100 = machines on which it failed, 101 = more,
    255 = covey itself failed.
    """
    settings = call.settings()
    before, behind = split_words(words)
    only: list[str] | None = None
    if chosen["last_failed"]:
        row, only = last_failed(settings)
        if not only:
            note(f"covey: job {row.job} failed on no machine: nothing to run again")
            return OK
        if not before and not behind:
            before, behind = words_of(row)
            chosen["project"] = chosen["project"] or project_of(row)
    asked = read_order(before, behind, project=chosen["project"], env=chosen["env"])
    if asked.note and not call.as_json:
        note(f"covey: {asked.note}")
    found = machines_of_call(
        settings,
        chosen["sshlogins"],
        chosen["hosts_files"],
        chosen["limit"],
        accepts_new_host_keys=chosen["accept_new_host_keys"],
    )
    one = _Run(call, settings, asked, chosen)
    with found as machines:
        if only is not None:
            machines = machines.among(only)
        return one.go(machines)


class _Run:
    """One call of `covey run`, from the machines to the exit code."""

    def __init__(self, call: Call, settings: Settings, asked: Asked, chosen: Chosen) -> None:
        self._call = call
        self._settings = settings
        self._again = f"covey run --last-failed {asked.text}"
        self._is_live = bool(chosen["live"]) and not call.as_json
        self._results: list[ErrandResult] = []
        self._keeper = Keeper(
            out_dir=chosen["outdir"],
            err_dir=chosen["errdir"],
            pass_file=chosen["pass_file"],
            fail_file=chosen["fail_file"],
            project=asked.errand.project,
        )
        self._keeper.prepare()
        self._order = ErrandOrder(
            asked.errand,
            timeout_s=parse_duration(chosen["timeout"]) if chosen["timeout"] else 0.0,
            name=chosen["name"],
            user=user_of_call(),
            command=os.fsencode(f"covey run {asked.text}"),
            words=tuple(os.fsencode(word) for word in asked.words),
        )

    def go(self, machines: CallMachines) -> int:
        """Run it, print, keep; the exit code."""
        for name, why in machines.failed.items():
            self._take(unreachable(name, why))
        job, names = 0, tuple[str, ...]()
        try:
            if machines.names or not machines.failed:
                job, names = follow(
                    self._settings,
                    replace(self._order, machines=machines.names),
                    self._take,
                    live=self._is_live,
                    ends_with_us=machines.ends_with_call,
                )
        except Interrupted:
            return INTERRUPTED
        order = [*names, *machines.failed]
        self._results.sort(key=lambda one: order.index(one.machine))
        self._keeper.finish(self._results)
        if self._call.as_json:
            self._print_json(job)
        else:
            self._print()
        return exit_code(self._results) or (NOT_KEPT if self._keeper.has_lost else OK)

    def _take(self, result: ErrandResult) -> None:
        self._keeper.keep(result)
        # Its files are written, and may be large.
        self._results.append(replace(result, value=b""))

    def _print_json(self, job: int) -> None:
        keeper, results = self._keeper, self._results
        ok = sum(one.is_ok for one in results)
        value = {
            "cluster": self._settings.cluster,
            "job": job or None,
            "ok": ok,
            "failed": len(results) - ok,
            "problems": keeper.problems,
            "machines": [json_value(one, keeper.gathered.get(one.machine, ())) for one in results],
        }
        print_json(value)

    def _print(self) -> None:
        keeper = self._keeper
        for group in grouped(self._results, [one.machine for one in self._results]):
            _print_group(group, is_live=self._is_live)
        for problem in keeper.problems:
            note(f"covey: {problem}")
        brought = [one.machine for one in self._results if keeper.gathered.get(one.machine)]
        if brought:
            files = counted(sum(map(len, keeper.gathered.values())), "file")
            note(f"{files} of {names_text(brought)} in {keeper.directory}/MACHINE/")
        note(summary(self._results, self._again))


def _print_group(group: Group, *, is_live: bool) -> None:
    result = group.result
    if is_live and (result.is_ok or result.elapsed_s is not None):
        if not result.is_ok:
            note(f"── {group.heading}")
        return
    if result.is_ok and not result.stdout and not result.stderr:
        return
    line = f"── {group.heading}"
    say(f"{_BOLD}{line}{_PLAIN}" if has_colour(sys.stdout) else line)
    for data, stream in ((result.stdout, sys.stdout), (result.stderr, sys.stderr)):
        if data:
            write_bytes(data if data.endswith(b"\n") else data + b"\n", stream)
