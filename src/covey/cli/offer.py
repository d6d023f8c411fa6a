"""What a TAB offers: jobs, machines, names of ssh_config, out of the files that hold them.

A TAB starts nothing, asks nobody and never complains: what cannot be read is not offered.
"""

import click
from click.shell_completion import CompletionItem

from covey.cli.call import Call
from covey.errors import CoveyError

#: A TAB offers at most this many jobs, the newest.
OFFERED_MAX = 50


def job_numbers(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """`last`, and the newest jobs with their state and command."""
    from covey.cli.output import printable
    from covey.cli.view import command_of, ledger_of, state_of

    offered = [CompletionItem("last", help="the newest job")]
    try:
        view = ledger_of(context.ensure_object(Call).settings())
        rows = view.jobs()[-OFFERED_MAX:]
    except (CoveyError, OSError):
        rows = []
    for row in reversed(rows):
        text = f"{state_of(row)} {printable(row.name or command_of(row))}".strip()
        offered.append(CompletionItem(str(row.job), help=text.replace(",", " ").replace(":", " ")))
    return [item for item in offered if item.value.startswith(incomplete)]


def machine_names(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The machines of the cluster that is up."""
    from covey.client.cluster import files_of

    try:
        settings = context.ensure_object(Call).settings()
        names = [machine.name for machine in files_of(settings).machines()]
    except (CoveyError, OSError):
        return []
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def host_names(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """The machines of covey.toml and the names of ssh_config."""
    import os

    from covey.fleet.config import read_config
    from covey.fleet.ssh_config import ssh_names

    try:
        names = [entry.name for entry in read_config().listing.entries]
    except (CoveyError, OSError):
        names = []
    found = dict.fromkeys([*names, *ssh_names(os.environ)])
    return [CompletionItem(name) for name in found if name.startswith(incomplete)]
