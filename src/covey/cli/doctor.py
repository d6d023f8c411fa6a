"""`covey doctor`: what is wrong with the way to the machines, and the command that mends it."""

import os
import secrets
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import click

from covey.agent import runtime
from covey.cli.call import Call, accept_new_option, command, hosts_file_option, limit_option
from covey.cli.output import counted, has_colour, note, print_json, printable, say
from covey.client.cluster import ClusterFiles, files_of
from covey.fleet.contact import Contact
from covey.fleet.doctor import Checkup, examine
from covey.fleet.doctor_here import examine_here
from covey.fleet.findings import Finding
from covey.fleet.host import Host
from covey.fleet.inventory import Inventory, read_inventory
from covey.fleet.master import control_base
from covey.fleet.ssh import Ssh
from covey.fleet.terminal import contact_at
from covey.head.processes import is_alive
from covey.settings import Settings

#: How a finding begins, and its colour on a terminal.
_SIGNS = {
    "ok": ("✔", "\033[32m"),
    "note": ("·", "\033[2m"),
    "warning": ("!", "\033[33m"),
    "wrong": ("✗", "\033[31m"),
}
_PLAIN = "\033[0m"


@command(
    "doctor",
    examples="covey doctor\ncovey doctor lab3\ncovey doctor pi@rack:2222 --json",
)
@click.argument("machines", nargs=-1, metavar="[MACHINE]...")
@hosts_file_option
@limit_option
@accept_new_option
def doctor(
    call: Call,
    machines: Sequence[str],
    hosts_files: Sequence[str],
    limit: str,
    accept_new_host_keys: bool,
) -> int:
    """Find out why a machine does not come up, and what mends it.

    Logs in as `covey up` does and looks at ssh, host key, Python, home, disk, clock, forwarding,
    MaxStartups, lingering and start-up files; what is not as needed comes with the command that
    mends it. MACHINE is written as for `up`. Without one: this machine, the machines of the cluster
    and those of covey.toml. Of a virtual machine: whether its agent runs. Nothing is left on a
    machine.

    Ends with 1 if anything is wrong (✗).
    """
    settings = call.settings()
    virtual = [] if hosts_files or limit else _virtual(settings, machines)
    words = [word for word in machines if word not in {one.name for one in virtual}]
    is_remote = bool(words or hosts_files or not machines)
    hosts = _hosts(settings, words, hosts_files, limit) if is_remote else ()
    is_named = bool(machines or hosts_files or limit)
    with _own_ssh() as ssh, contact_at(ssh.control_dir) as contact:
        ssh.answers = contact
        here = [] if is_named else examine_here(settings, ssh, bus_url=settings.nats_url)
        if here and not call.as_json:
            _say_here(here)
        checkups = [*virtual, *_examine(ssh, hosts, contact, accept_new_host_keys)]
    is_well = all(one.is_well for one in checkups) and all(f.state != "wrong" for f in here)
    if call.as_json:
        _print_json(settings, here, checkups, is_well=is_well)
    else:
        for checkup in checkups:
            _say_checkup(checkup)
        if not checkups and not is_named:
            note("covey: no machines are named; look at one with: covey doctor MACHINE")
    return 0 if is_well else 1


def _virtual(settings: Settings, names: Sequence[str]) -> list[Checkup]:
    """The machines of `up --local` that are meant: there is no way to them that could be wrong."""
    files = files_of(settings)
    known = [machine.name for machine in files.machines() if machine.host is None]
    return [
        Checkup(name, "virtual, on this machine", (_agent_of(files, name),))
        for name in known
        if name in names or not names
    ]


def _agent_of(files: ClusterFiles, name: str) -> Finding:
    if is_alive(files, name):
        return Finding("agent", "ok", "runs")
    return Finding("agent", "wrong", "was killed", "start it again: covey up --local")


def _examine(
    ssh: Ssh, hosts: Sequence[Host], contact: Contact | None, accept_new: bool
) -> list[Checkup]:
    return examine(ssh, hosts, contact=contact, accept_new=accept_new) if hosts else []


@contextmanager
def _own_ssh() -> Generator[Ssh]:
    """Not that of the cluster: a connection that is up already would hide what is wrong now."""
    # Where paths of sockets are short.
    environ = dict(os.environ)
    place = environ if control_base() == runtime.base_dir() else dict[str, str]()
    runtime.sweep(place)
    owner = secrets.token_hex(16)
    own = runtime.create(owner, place)
    try:
        # Where we are killed, whoever sweeps next knows our connections by it.
        yield Ssh(own.path / "s", {**environ, "COVEY_OWNER": owner})
    finally:
        runtime.remove(own.path)
        own.release()


def _hosts(
    settings: Settings, words: Sequence[str], files: Sequence[str], limit: str
) -> tuple[Host, ...]:
    """Who is meant. A name of the cluster is the machine that was brought up under it."""
    known = {m.name: m.host for m in files_of(settings).machines() if m.host is not None}
    if not words and not files:
        listed = {host.name: host for host in read_inventory().hosts}
        return Inventory(tuple({**listed, **known}.values())).limited(limit).hosts
    hosts = {word: known[word] for word in words if word in known}
    others = [word for word in words if word not in known]
    if others or files:
        hosts |= {host.name: host for host in read_inventory(others, files).hosts}
    return Inventory(tuple(hosts.values())).limited(limit).hosts


def _say_here(found: Sequence[Finding]) -> None:
    say("this machine")
    _say_findings(found)


def _say_checkup(checkup: Checkup) -> None:
    login = "" if checkup.login == checkup.name else f" ({checkup.login})"
    say(printable(f"{checkup.name}{login}"))
    _say_findings(checkup.findings)
    wrong = sum(finding.state == "wrong" for finding in checkup.findings)
    if wrong > 1:
        say(f"  {counted(wrong, 'thing')} to be mended")


def _say_findings(found: Sequence[Finding]) -> None:
    is_coloured = has_colour(sys.stdout)
    for finding in found:
        sign, colour = _SIGNS[finding.state]
        sign = f"{colour}{sign}{_PLAIN}" if is_coloured else sign
        say(f"  {sign} {finding.check}: {printable(finding.text)}")
        if finding.remedy:
            say(f"      → {printable(finding.remedy)}")


def _print_json(
    settings: Settings, here: Sequence[Finding], checkups: Sequence[Checkup], *, is_well: bool
) -> None:
    machines = [
        {
            "name": one.name,
            "login": one.login,
            "ok": one.is_well,
            "findings": [asdict(finding) for finding in one.findings],
        }
        for one in checkups
    ]
    this = [asdict(finding) for finding in here]
    print_json(
        {"cluster": settings.cluster, "ok": is_well, "this_machine": this, "machines": machines}
    )
