"""Looks at a machine: which Python it has, its platform, its home, what of covey is there."""

import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from covey.agent.machine import ANSWER_MARK, marked_json
from covey.fleet.host import Host
from covey.fleet.probing import PROBE
from covey.fleet.step import TOO_OLD, Connection, Done, failed, no_answer, runner

#: Looking at a machine takes some 0.1 s; a slow one (network home, SD card) some seconds.
PROBE_MAX_S = 30.0
#: Tried in this order where the inventory names no Python.
PYTHONS = ("python3", "python3.14", "python3.13", "python3.12", "python3.11")
#: The oldest that covey runs on.
PYTHON_MIN = (3, 11)

#: What sshd puts into the environment of a session, and what ends with it.
_OF_SSH = ("SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY", "SSH_AUTH_SOCK")


@dataclass(frozen=True, slots=True)
class Probe:
    """What a machine is like. Times and sizes as of the probe."""

    #: `3.11.2`
    python: str
    #: Its path there.
    executable: str
    #: `linux x86_64`
    platform: str
    cores: int
    mem_bytes: int
    disk_free_bytes: int
    home: str
    uid: int
    hostname: str
    machine_id: str
    boot_id: str
    #: Its clock, seconds since the epoch.
    now: float
    #: `~/.cache/covey/<cluster>` there.
    cache: str
    #: Names of the archives that it has.
    archives: tuple[str, ...]
    #: The same for all machines that share this home; "" = it cannot be written.
    home_id: str
    #: Kind of its file system ("" = unknown).
    home_fs: str
    #: Agents of the cluster that were started from this home, by whichever machine.
    agents: tuple[str, ...]
    #: Why nothing can be started there, as a sentence ("" = nothing speaks against it).
    problem: str = ""
    remedy: str = ""

    def having(self, archive: str) -> "Probe":
        """The same, once this archive has arrived there."""
        return replace(self, archives=(*self.archives, archive))


def probe(connection: Connection, cluster: str) -> Probe:
    """Look at a machine; makes its cache directory.

    Raises:
        BootstrapFailed: no Python, one that is too old, an answer that makes no sense, or a home
            that cannot be written; with what to do.
        ConnectFailed: as `Connection.run`.
    """
    line = probing_line(connection.host, cluster)
    done = connection.run(line, stdin=PROBE.encode(), timeout_s=PROBE_MAX_S)
    return read_probe(connection.host, done)


def probing_line(host: Host, cluster: str, *, is_for_agent: bool = False) -> str:
    """A line that runs PROBE with the first Python there that is new enough, else with the first.

    The program comes on standard input. is_for_agent: that Python is to become the agent; so it
    has an agent's environment, and finds what is installed there.
    """
    candidates = (host.python,) if host.python else PYTHONS
    size, option = len(PROBE.encode()), '"$p"' if is_for_agent else '"$p" -S'
    run = runner(option, size, oldest=PYTHON_MIN)
    old, words = runner('"$p" -S', size), shlex.quote(cluster)
    none = ANSWER_MARK + '{"python": ""}'
    program = (
        f"{agent_environment() if is_for_agent else ':'}; "
        'PATH="$PATH:/usr/local/bin:$HOME/.local/bin"; old=; '
        'for p in "$@"; do '
        'case "$p" in "~/"*) p="$HOME/${p#"~/"}";; esac; '
        'command -v "$p" >/dev/null 2>&1 || continue; '
        f"{run} {words}; c=$?; "
        # Two more that are no answer of a Python: it cannot be run.
        f'case $c in {TOO_OLD}) old="${{old:-$p}}";; 126|127) ;; *) exit $c;; esac; '
        "done; "
        f'if [ -n "$old" ]; then p="$old"; exec {old} {words}; fi; '
        f"echo; echo {shlex.quote(none)}"
    )
    return " ".join(["exec sh -c", shlex.quote(program), "sh", *map(shlex.quote, candidates)])


def agent_environment() -> str:
    """A piece of shell that makes the environment that an agent keeps to its end."""
    return f"unset {' '.join(_OF_SSH)}; export COVEY_OWNER={secrets.token_hex(16)}"


def read_probe(host: Host, done: Done) -> Probe:
    """What PROBE answered.

    Raises:
        BootstrapFailed: as `probe`.
    """
    plain = marked_json(done.out)
    if plain is None:
        raise no_answer(host, "probe", done)
    found = _probe_of(host, plain)
    if found.problem:
        raise failed(host, "probe", found.problem, found.remedy)
    return found


def shared_homes(probes: Mapping[str, Probe]) -> frozenset[str]:
    """Names of machines that find the same home as another agent of the cluster.

    probes: by name, of all machines that are brought up together.
    """
    ids = [found.home_id for found in probes.values()]
    return frozenset(
        name
        for name, found in probes.items()
        if ids.count(found.home_id) > 1 or set(found.agents) - {name}
    )


# ---------------------------------------------------------------- inside


def _probe_of(host: Host, plain: dict[str, Any]) -> Probe:
    python = str(plain.get("python", ""))
    if not python:
        what = f"{host.python} is no python there" if host.python else "no python3 found"
        raise failed(host, "probe", what, "install one there, or name it: python = in covey.toml")
    number = tuple(int(part) if part.isdigit() else 0 for part in python.split(".")[:2])
    if number < PYTHON_MIN:
        shown, needed = ".".join(map(str, number)), ".".join(map(str, PYTHON_MIN))
        raise failed(
            host,
            "probe",
            f"python {shown} is too old ({needed} needed)",
            "install a newer one there, or name it: python = in covey.toml",
        )
    kinds = {one.name: one.type for one in fields(Probe)}
    values: dict[str, Any] = {}
    try:
        for name, kind in kinds.items():
            values[name] = _checked(plain.get(name), str(kind))
    except (TypeError, ValueError):
        raise failed(host, "probe", "the machine answers nonsense", "") from None
    return Probe(**values)


def _checked(value: object, kind: str) -> object:
    if "tuple" in kind:
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):  # pyright: ignore
            raise TypeError
        return tuple(value)  # pyright: ignore
    expected = {"str": str, "int": int, "float": (int, float), "bool": bool}
    wanted = next(one for name, one in expected.items() if name in kind)
    if not isinstance(value, wanted):
        raise TypeError
    return value
