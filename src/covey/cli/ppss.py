"""PPSS's words: config, deploy, start, erase, kill, node. They do what `up`, `down`, `join` do."""

import copy
import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click

from covey.cli.call import Call, command, limit_option
from covey.cli.consent import confirmed
from covey.cli.down import order_of, take_down
from covey.cli.join import join
from covey.cli.output import counted, print_json, say
from covey.cli.up import bring_up
from covey.client.cluster import files_of
from covey.errors import UsageError
from covey.fleet.fields import read_slots, read_user
from covey.fleet.host import Host
from covey.fleet.inventory import read_inventory
from covey.head.lowering import DownOrder

#: What PPSS calls its list of options, and we covey.toml.
CONFIG_DEFAULT = "covey.toml"

#: Options of PPSS's config that belong elsewhere -> where.
_ELSEWHERE = {
    **dict.fromkeys(("-m", "--master"), "the head is where you call covey, or --head HOST"),
    **dict.fromkeys(("-k", "-K", "--key"), "keys and known hosts are those of your own ssh"),
    **dict.fromkeys(
        ("-c", "-d", "-f", "-o", "--command", "--sourcedir", "--sourcefile", "--outputdir"),
        "what is run over which items is said to: covey map",
    ),
}

_hosts = click.argument("hosts", nargs=-1, metavar="[HOST]...")
_config = click.option(
    "-C",
    "--config",
    "config_file",
    metavar="FILE",
    default="",
    help="The list of machines that `covey config` wrote (default: covey.toml).",
)
_members = click.option(
    "-C",
    "--config",
    "config_file",
    metavar="FILE",
    default="",
    help="Only the machines of this list (all of the cluster: the cluster).",
)


class _ConfigCommand(click.Command):
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click, but of PPSS's other options it is said where they belong."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name not in _ELSEWHERE:
                raise
            raise UsageError(
                f"covey config writes machines, not {error.option_name}:"
                f" {_ELSEWHERE[error.option_name]}"
            ) from None


@command(
    "config",
    cls=_ConfigCommand,
    examples="""
covey config -C covey.toml lab1 8/pi@rack:2222
covey config -C lab.toml -n nodes.txt -u ppss
""",
)
@_hosts
@click.option(
    "-C", "--config", "config_file", metavar="FILE", default=CONFIG_DEFAULT, help="What to write."
)
@click.option(
    "-n", "--nodes", "nodes", metavar="FILE", multiple=True, help="A list of machines, as -H."
)
@click.option("-u", "--user", "user", metavar="USER", default="", help="Who logs in, if not said.")
@click.option(
    "-p", "--processes", "--slots", "slots", metavar="S", default="", help="Slots, if not said."
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
def config(
    call: Call,
    hosts: Sequence[str],
    config_file: str,
    nodes: Sequence[str],
    user: str,
    slots: str,
    force: bool,
) -> None:
    """Write a list of machines as covey.toml, for `deploy`, `start` and all other commands.

    PPSS wrote its options so. ssh keys and known hosts are those of your own ssh.
    """
    if not hosts and not nodes:
        raise UsageError("say which machines — for example: covey config lab1 lab2")
    found = read_inventory(hosts, nodes).hosts
    try:
        text = toml_of(found, user and read_user(user), slots and read_slots(slots))
    except ValueError as error:
        raise UsageError(str(error)) from error
    path = Path(config_file)
    if path.exists() and not force and not confirmed(f"{path} is there. Write over it?"):
        raise UsageError(f"{path} is there already: --force writes over it")
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    if call.as_json:
        print_json({"file": str(path), "machines": [host.name for host in found]})
    else:
        machines = counted(len(found), "machine")
        say(f"{path}: {machines}; bring up with: covey start -C {shlex.quote(str(path))}")


@command("deploy", examples="covey deploy\ncovey deploy -C lab.toml\ncovey deploy lab1 lab2")
@_hosts
@_config
@limit_option
def deploy(call: Call, hosts: Sequence[str], config_file: str, limit: str) -> int:
    """Send covey to the machines and start nothing: the same as `up --no-start`."""
    return bring_up(call, hosts, _files(config_file), limit, no_start=True)


@command("start", examples="covey start\ncovey start -C lab.toml\ncovey start lab1 lab2")
@_hosts
@_config
@limit_option
def start(call: Call, hosts: Sequence[str], config_file: str, limit: str) -> int:
    """Bring the machines up: the same as `up`."""
    return bring_up(call, hosts, _files(config_file), limit, no_start=False)


@command(
    "erase",
    examples="covey erase\ncovey erase -C lab.toml\ncovey erase lab3 --yes\ncovey erase --data",
)
@_hosts
@_members
@limit_option
@click.option("--data", is_flag=True, help="What tasks wrote too: it is listed first.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(
    call: Call, hosts: Sequence[str], config_file: str, limit: str, *, data: bool, yes: bool
) -> int:
    """Stop the cluster and remove what covey put onto machines: the same as `down --purge`.

    Asks for YES first, as PPSS did. What was pushed there and what tasks wrote stays; with --data
    the directories that covey made for tasks and projects go too, as with `down --purge --data`.
    """
    order = replace(_order(call, hosts, config_file, limit), is_purge=True)
    if data:
        return take_down(call, replace(order, is_data=True), asks=not yes, even_if_none=True)
    question = "This stops the cluster and removes covey from all machines."
    if order.only is not None:
        names = ", ".join([*order.only, *(host.name for host in order.hosts)])
        question = f"This removes covey from {names}."
    if not yes and not confirmed(question):
        raise UsageError("nothing was erased: type YES, or give --yes")
    return take_down(call, order)


@command("kill", examples="covey kill\ncovey kill lab3")
@_hosts
@_members
@limit_option
def kill(call: Call, hosts: Sequence[str], config_file: str, limit: str) -> int:
    """Stop the cluster at once: the same as `down --now`."""
    return take_down(call, replace(_order(call, hosts, config_file, limit), is_now=True))


node = copy.copy(join)
node.name = "node"
node.epilog = (join.epilog or "").replace("covey join", "covey node")


def toml_of(hosts: Sequence[Host], user: str = "", slots: str = "") -> str:
    """The machines in the form of covey.toml; user and slots hold where a machine says nothing."""
    lines = [f"hosts = {json.dumps([host.name for host in hosts])}"]
    shared = {"user": user, "slots": slots}
    if any(shared.values()):
        lines += ["", "[defaults]", *(f"{key} = {json.dumps(v)}" for key, v in shared.items() if v)]
    for host in hosts:
        said = {
            "address": host.address if host.address != host.name else "",
            "user": host.user,
            "port": host.port,
            "slots": host.slots,
            "groups": list(host.labels),
            "python": host.python,
            "workdir": host.workdir,
            "packages": list(host.packages),
        }
        values = [f"{key} = {json.dumps(value)}" for key, value in said.items() if value]
        if values:
            lines += ["", f"[machines.{host.name}]", *values]
    return "\n".join([*lines, ""])


def _order(call: Call, hosts: Sequence[str], config_file: str, limit: str) -> DownOrder:
    """As `down`; a list that names the whole cluster means the cluster."""
    settings = call.settings()
    if not config_file:
        return order_of(settings, hosts, limit)
    if hosts:
        raise UsageError("give HOSTs or -C FILE, not both")
    named = read_inventory((), _files(config_file)).limited(limit).hosts
    members = {machine.name for machine in files_of(settings).machines()}
    if members <= {host.name for host in named} and not limit:
        return DownOrder()
    inside = tuple(host.name for host in named if host.name in members)
    return DownOrder(inside, tuple(host for host in named if host.name not in members))


def _files(config_file: str) -> list[str]:
    if config_file and not Path(config_file).exists():
        raise UsageError(
            f"there is no {config_file}; write one with: covey config -C {config_file}"
        )
    return [config_file] if config_file else []
