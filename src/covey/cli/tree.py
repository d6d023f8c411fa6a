"""The tree of commands: a table, so that `covey --help` imports none of them.

A command's module is imported when the command is run, completed or asked for its own help. The
table is checked against the commands by a test.
"""

import difflib
import importlib
from typing import NamedTuple

import click
from click.shell_completion import CompletionItem

from covey.cli.call import common_options
from covey.errors import UsageError


class Entry(NamedTuple):
    """Where a command is defined and what `covey --help` says of it."""

    section: str
    module: str
    attribute: str
    summary: str


#: Name -> where it is. The order is the order of `covey --help`.
COMMANDS: dict[str, Entry] = {
    "map": Entry("Work", "covey.cli.map.command", "", "Run a command for each item of a list."),
    "run": Entry(
        "Work", "covey.cli.run.command", "run", "Run a command or script on every machine."
    ),
    "exec": Entry("Work", "covey.cli.exec", "exec_", "Run a command on one machine, as if here."),
    "mkdir": Entry("Work", "covey.cli.mkdir", "mkdir", "Make a directory on every machine."),
    "jobs": Entry("Jobs", "covey.cli.jobs", "jobs", "List jobs, newest last."),
    "show": Entry("Jobs", "covey.cli.jobs", "show", "One job: counts, rates, what failed."),
    "explain": Entry("Jobs", "covey.cli.explain", "explain", "Why a job or task has not ended."),
    "logs": Entry("Jobs", "covey.cli.logs", "logs", "What the tasks of a job wrote."),
    "joblog": Entry("Jobs", "covey.cli.logs", "joblog", "A line per task, as GNU parallel's."),
    "attach": Entry("Jobs", "covey.cli.steer", "attach", "Follow a running job until it ends."),
    "cancel": Entry("Jobs", "covey.cli.steer", "cancel", "Stop jobs, or tasks of a job."),
    "resume": Entry("Jobs", "covey.cli.steer", "resume", "Run what is left of a stopped job."),
    "prune": Entry("Jobs", "covey.cli.steer", "prune", "Forget jobs that ended long ago."),
    "status": Entry("Cluster", "covey.cli.status", "status", "Machines, slots, running work."),
    "up": Entry("Cluster", "covey.cli.up", "up", "Bring up machines."),
    "down": Entry("Cluster", "covey.cli.down", "down", "Stop it; nothing is left running."),
    "hosts": Entry("Cluster", "covey.cli.hosts", "hosts", "Which machines a list names; check it."),
    "doctor": Entry("Cluster", "covey.cli.doctor", "doctor", "Why a machine does not come up."),
    "drain": Entry("Cluster", "covey.cli.drain", "drain", "Finish what runs, take no more."),
    "scheduler": Entry(
        "Cluster", "covey.cli.scheduler", "scheduler", "Run a scheduler that others submit to."
    ),
    "join": Entry("Cluster", "covey.cli.join", "join", "Make this machine one of a cluster."),
    "leave": Entry("Cluster", "covey.cli.join", "leave", "End what join began."),
    "ping": Entry("Cluster", "covey.cli.ping", "ping", "An echo from each machine."),
    "start_local": Entry("Cluster", "covey.cli.up", "start_local", "The same as: up --local N."),
    "shutdown_local": Entry("Cluster", "covey.cli.down", "shutdown_local", "The same as: down."),
    "sim": Entry("Scheduling", "covey.cli.sim.command", "sim", "Policies on simulated clusters."),
    "sparrow": Entry(
        "Scheduling", "covey.cli.sparrow.command", "sparrow", "Try placement policies."
    ),
    "trace": Entry("Scheduling", "covey.cli.trace", "trace", "Where the time of each task went."),
    "config": Entry("PPSS's words", "covey.cli.ppss", "config", "Write a list of machines."),
    "deploy": Entry("PPSS's words", "covey.cli.ppss", "deploy", "The same as: up --no-start."),
    "start": Entry("PPSS's words", "covey.cli.ppss", "start", "The same as: up."),
    "erase": Entry("PPSS's words", "covey.cli.ppss", "erase", "The same as: down --purge."),
    "node": Entry("PPSS's words", "covey.cli.ppss", "node", "The same as: join."),
    "kill": Entry("PPSS's words", "covey.cli.ppss", "kill", "The same as: down --now."),
    "chaos": Entry("Cluster", "covey.cli.chaos", "chaos", "Kill, freeze or cut off a machine."),
    "completion": Entry(
        "Shell", "covey.cli.completion", "completion", "The script for bash, zsh or fish."
    ),
}

_EXAMPLES = """\b
Examples:
  covey map 'gzip -k {}' ::: *.log        one command for each file
  covey map -j 4 sha256sum < list.txt     items from standard input
  covey jobs                              what ran, and how it ended
  covey show last                         why something failed
  covey up lab1 lab2 pi@rack              machines that you can ssh into
  covey up --local 4                      four virtual machines on this one

\b
Each command has its own help: covey COMMAND --help
Exit codes: 0 done, 1 failed, 2 usage, 130 Ctrl-C; map and attach: 1-100 failed
items, 101 more than 100, 255 usage or covey itself failed."""


class RawCommand(click.Command):
    """Stands for `covey map` in help and completion: `main` hands its words over unread."""

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Options of map that begin with what was typed; else file names."""
        if not incomplete.startswith("-"):
            return [CompletionItem(incomplete, type="file")]
        options = importlib.import_module("covey.cli.map.options")
        names = sorted({*options.FLAGS, *options.VALUES})
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class CommandTree(click.Group):
    """Finds a command by the table, and lists the table without importing anything."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name; its module is imported now."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        if not entry.attribute:
            return RawCommand(
                cmd_name,
                help=entry.summary,
                add_help_option=False,
                context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
            )
        found = getattr(importlib.import_module(entry.module), entry.attribute)
        assert isinstance(found, click.Command)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names; a wrong word is told the nearest right one."""
        name = args[0]
        if name not in COMMANDS and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"did you mean: covey {near[0]}" if near else "see: covey --help"
            raise UsageError(f"there is no command {name!r} — {hint}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names out of the table; options when a dash was typed."""
        if incomplete.startswith("-"):
            return click.Command.shell_complete(self, ctx, incomplete)
        return [
            CompletionItem(name, help=entry.summary)
            for name, entry in COMMANDS.items()
            if name.startswith(incomplete)
        ]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """A section of the help for each section of the table."""
        longest = max(len(name) for name in COMMANDS)
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            rows = [
                (name.ljust(longest), entry.summary)
                for name, entry in COMMANDS.items()
                if entry.section == section
            ]
            with formatter.section(section):
                formatter.write_dl(rows)


def command_tree() -> CommandTree:
    """The whole of `covey`, ready to parse."""
    return CommandTree(
        name="covey",
        help="The machines you can ssh into, as one computer.",
        epilog=_EXAMPLES,
        params=[
            *common_options(),
            click.Option(["-V", "--version"], is_flag=True, help="Print the version and end."),
        ],
        callback=_no_action,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
    )


def _no_action(**_chosen: object) -> None:
    """`--version` is answered by `main` before this tree is even imported."""
