"""What every command takes: `--cluster`, `--json`, `-v`, before the command's name or after it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click
from click.core import ParameterSource

from covey.errors import UsageError
from covey.settings import Settings, read_settings

_TYPED = ParameterSource.COMMANDLINE


class Call:
    """The choices of one command line that are the same for all commands."""

    __slots__ = ("as_json", "cluster", "head", "verbose")

    def __init__(self) -> None:
        self.cluster: str | None = None
        self.head = ""
        self.as_json = False
        self.verbose = False

    def settings(self) -> Settings:
        """Where this call works: flags over the environment over defaults."""
        from covey.fleet.call_settings import settings_of_call
        from covey.scheduler.places import located

        settings = located(settings_of_call(self.cluster))
        return replace(settings, head=self.head) if self.head else settings


pass_call = click.make_pass_decorator(Call, ensure=True)


def _keep_cluster(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Call).cluster = value


def _keep_head(context: click.Context, _parameter: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.ensure_object(Call).head = value


def _keep_json(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Call).as_json = True


def _keep_verbose(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        context.ensure_object(Call).verbose = True


def common_options() -> list[click.Parameter]:
    """Fresh `--cluster`, `--json` and `-v`; they end up in the `Call`, wherever they stood."""
    return [
        click.Option(
            ["--cluster"],
            metavar="NAME",
            expose_value=False,
            callback=_keep_cluster,
            shell_complete=_cluster_names,
            help="The cluster to use ($COVEY_CLUSTER, else `default`).",
        ),
        click.Option(
            ["--head"],
            metavar="USER@HOST",
            expose_value=False,
            callback=_keep_head,
            help="Use the head on that machine, through ssh ($COVEY_HEAD).",
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            callback=_keep_json,
            help="Print one JSON value (docs/reference/schemas).",
        ),
        click.Option(
            ["-v", "--verbose"],
            is_flag=True,
            expose_value=False,
            callback=_keep_verbose,
            help="Show where an error came from.",
        ),
    ]


def _check_limit(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not value and context.get_parameter_source(str(parameter.name)) is _TYPED:
        # A variable of the shell that is not set: all machines are hardly meant.
        raise UsageError("--limit is empty — for example: 'lab*,!lab3,@pis'; all machines: all")
    return value


#: `--limit`, for every command that acts on machines; the function's argument is `limit`.
limit_option = click.option(
    "--limit",
    metavar="PATTERN",
    default="",
    callback=_check_limit,
    help="Only these machines: 'lab*,!lab3,@pis' (names, patterns, !not, @group).",
)
#: `-H`, for every command that takes a list of machines; the function's argument is `hosts_files`.
hosts_file_option = click.option(
    "-H",
    "--hosts-file",
    "hosts_files",
    metavar="FILE",
    multiple=True,
    help="Machines from a list, CSV, sshloginfile or Ansible inventory (- is standard input).",
)
#: For every command that logs in for the first time; the argument is `accept_new_host_keys`.
accept_new_option = click.option(
    "--accept-new-host-keys", is_flag=True, help="Take host keys that are not known."
)


def _cluster_names(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """The clusters that have a state directory."""
    try:
        home = read_settings().home
        names = sorted(entry.name for entry in home.iterdir() if entry.is_dir())
    except (OSError, ValueError):
        return []
    return [name for name in names if name.startswith(incomplete)]


def command(
    name: str, *, examples: str, hidden: bool = False, cls: type[click.Command] = click.Command
) -> Callable[[Callable[..., int | None]], click.Command]:
    """Makes a function into a command: it is given the `Call`, then what its options say.

    The function's docstring is the help text and `examples` (one per line) end it. It returns the
    exit code; None is 0.
    """
    lines = "\n".join(f"  {line}" for line in examples.strip().splitlines())

    def made(function: Callable[..., int | None]) -> click.Command:
        decorated: Callable[..., Any] = pass_call(function)
        # pass_call keeps __click_params__, so options given as decorators above are in.
        built = click.command(
            name,
            cls=cls,
            epilog=f"\b\nExamples:\n{lines}",
            hidden=hidden,
            context_settings={"help_option_names": ["-h", "--help"]},
        )(decorated)
        built.params.extend(common_options())
        # A raw docstring holds click's mark for "as it stands" as two characters.
        built.help = (built.help or "").replace("\\b\n", "\b\n")
        return built

    return made
