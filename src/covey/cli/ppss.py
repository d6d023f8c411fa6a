"""PPSS's words: config, deploy, start, erase, kill, node. They do what `up`, `down`, `join` do."""

import copy
import json
from collections.abc import Sequence
from pathlib import Path

import click

from covey.cli.call import Call, command
from covey.cli.consent import confirmed
from covey.cli.down import take_down
from covey.cli.join import join
from covey.cli.output import print_json, say
from covey.cli.up import bring_up
from covey.errors import UsageError
from covey.fleet.host import Host
from covey.fleet.inventory import read_inventory
from covey.head.lowering import DownOrder

#: What PPSS calls its list of options, and we covey.toml.
CONFIG_DEFAULT = "covey.toml"

_config = click.option(
    "-C",
    "config_file",
    metavar="FILE",
    default="",
    help="The list of machines that `covey config` wrote (default: covey.toml).",
)


@command(
    "config",
    examples="""
covey config -C covey.toml lab1 8/pi@rack:2222
covey config -C lab.toml -n nodes.txt -u ppss
""",
)
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option("-C", "config_file", metavar="FILE", default=CONFIG_DEFAULT, help="What to write.")
@click.option("-n", "nodes", metavar="FILE", multiple=True, help="A list of machines, as -H.")
@click.option("-u", "user", metavar="USER", default="", help="Who to log in as, if not said.")
@click.option("--slots", metavar="S", default="", help="Slots of each, if not said.")
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
    path = Path(config_file)
    if path.exists() and not force and not confirmed(f"{path} is there. Write over it?"):
        raise UsageError(f"{path} is there already: --force writes over it")
    path.write_text(toml_of(found, user, slots), encoding="utf-8")
    if call.as_json:
        print_json({"file": str(path), "machines": [host.name for host in found]})
    else:
        say(f"{path}: {len(found)} machines; bring them up with: covey start -C {path}")


@command("deploy", examples="covey deploy\ncovey deploy -C lab.toml")
@_config
def deploy(call: Call, config_file: str) -> int:
    """Send covey to the machines and start nothing: the same as `up --no-start`."""
    return bring_up(call, [], _files(config_file), no_start=True)


@command("start", examples="covey start\ncovey start -C lab.toml")
@_config
def start(call: Call, config_file: str) -> int:
    """Bring the machines up: the same as `up`."""
    return bring_up(call, [], _files(config_file), no_start=False)


@command("erase", examples="covey erase\ncovey erase --yes\ncovey erase --data")
@click.option("--data", is_flag=True, help="What tasks wrote too: it is listed first.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(call: Call, *, data: bool, yes: bool) -> int:
    """Stop the cluster and remove what covey put onto machines: the same as `down --purge`.

    Asks for YES first, as PPSS did. What was pushed there and what tasks wrote stays; with --data
    the directories that covey made for tasks and projects go too, as with `down --purge --data`.
    """
    if data:
        order = DownOrder(is_purge=True, is_data=True)
        return take_down(call, order, asks=not yes, even_if_none=True)
    question = "This stops the cluster and removes covey from all machines."
    if not yes and not confirmed(question):
        raise UsageError("nothing was erased: type YES, or give --yes")
    return take_down(call, DownOrder(is_purge=True))


@command("kill", examples="covey kill")
def kill(call: Call) -> int:
    """Stop the cluster at once: the same as `down --now`."""
    return take_down(call, DownOrder(is_now=True))


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


def _files(config_file: str) -> list[str]:
    if config_file and not Path(config_file).exists():
        raise UsageError(
            f"there is no {config_file}; write one with: covey config -C {config_file}"
        )
    return [config_file] if config_file else []
