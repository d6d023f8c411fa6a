"""Brings an agent onto a machine over a connection: probe, send the archive, start; stop, purge.

Each step is one command over ssh with a time limit, and one answer after a mark: what start-up
files of the shell print is skipped, and what makes no sense is refused. Nothing of it is kept here.
"""

import hashlib
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

from covey.agent.machine import (
    ANSWER_MARK,
    ARCHIVE_GONE,
    Answer,
    MachineOrder,
    marked_json,
    order_line,
    read_answer,
)
from covey.errors import BootstrapFailed
from covey.fleet.archive import Archive
from covey.fleet.host import Host
from covey.fleet.probing import PROBE, RECEIVE

#: Looking at a machine takes some 0.1 s; a slow one (network home, SD card) some seconds.
PROBE_MAX_S = 30.0
#: Sending the archive, some 2 MB.
SEND_MAX_S = 300.0
#: Starting an agent, on a machine of one slow core.
START_MAX_S = 60.0
#: Making an environment with the user's packages: pip may have much to load.
PACKAGES_MAX_S = 1800.0
#: Stopping one takes up to the grace that its tasks get.
STOP_MAX_S = 60.0
#: Counting or removing what tasks wrote there, perhaps many files on a network home.
DATA_MAX_S = 1800.0

#: Tried in this order where the inventory names no Python.
PYTHONS = ("python3", "python3.14", "python3.13", "python3.12", "python3.11")
#: The oldest that covey runs on.
PYTHON_MIN = (3, 11)


class Done(Protocol):
    """How a command over ssh ended."""

    @property
    def code(self) -> int:
        """Exit status."""
        ...

    @property
    def out(self) -> bytes:
        """Standard output."""
        ...

    @property
    def err(self) -> bytes:
        """Standard error."""
        ...


class Connection(Protocol):
    """What is needed of `fleet.ssh.Connection`."""

    @property
    def host(self) -> Host:
        """The machine."""
        ...

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float) -> Done:
        """Run a line of shell there."""
        ...


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


def probe(connection: Connection, cluster: str) -> Probe:
    """Look at a machine; makes its cache directory.

    Raises:
        BootstrapFailed: no Python, one that is too old, an answer that makes no sense, or a home
            that cannot be written; with what to do.
        ConnectFailed: as `Connection.run`.
    """
    host = connection.host
    wanted = (host.python,) if host.python else PYTHONS
    done = connection.run(
        _with_python(wanted, PROBE, cluster), stdin=PROBE.encode(), timeout_s=PROBE_MAX_S
    )
    plain = marked_json(done.out)
    if plain is None:
        raise _no_answer(host, "probe", done)
    found = _probe_of(host, plain)
    if found.problem:
        raise _failed(host, "probe", found.problem, found.remedy)
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


def send_archive(connection: Connection, found: Probe, archive: Archive) -> bool:
    """Put the archive into the cache there, whole or not at all; whether it had to be sent.

    Raises:
        BootstrapFailed: it did not arrive, or does not fit.
        ConnectFailed: as `Connection.run`.
    """
    if archive.name in found.archives:
        return False
    send_file(connection, found, archive.name, archive.read())
    return True


def send_file(connection: Connection, found: Probe, name: str, data: bytes) -> None:
    """Put a file into the cache there, whole or not at all.

    Raises:
        BootstrapFailed: it did not arrive, or does not fit.
        ConnectFailed: as `Connection.run`.
    """
    script = RECEIVE.encode()
    digest = hashlib.sha256(data).hexdigest()
    command = " ".join(
        [
            _runner(shlex.quote(found.executable), len(script)),
            *map(shlex.quote, (found.cache, name, digest, str(len(data)))),
        ]
    )
    done = connection.run(command, stdin=script + data, timeout_s=SEND_MAX_S)
    plain = marked_json(done.out)
    if plain is None:
        raise _no_answer(connection.host, "send", done)
    if problem := plain.get("problem"):
        raise _failed(connection.host, "send", str(problem), str(plain.get("remedy", "")))


def start(connection: Connection, found: Probe, archive: Archive, order: MachineOrder) -> Answer:
    """Start the agent unless it runs (see `covey.agent.machine.State`).

    Raises:
        BootstrapFailed: it did not start; with its reason.
        ConnectFailed: as `Connection.run`.
    """
    command = " ".join(
        map(
            shlex.quote,
            [found.executable, "-P", f"{found.cache}/{archive.name}", "--on-machine", "start"],
        )
    )
    limit_s = PACKAGES_MAX_S if order.packages else START_MAX_S
    done = connection.run(command, stdin=order_line(order), timeout_s=limit_s)
    return _answer(connection.host, "start", done)


def stop(connection: Connection, cluster: str, agent: str) -> Answer:
    """End the agent and all that is its own. `absent`: there was none.

    Raises:
        BootstrapFailed: it could not be ended.
        ConnectFailed: as `Connection.run`.
    """
    return _verb(connection, cluster, agent, "stop")


def look(connection: Connection, cluster: str, agent: str) -> Answer:
    """Whether the agent runs (`running` or `absent`), and where.

    Raises:
        BootstrapFailed: the machine did not answer sensibly.
        ConnectFailed: as `Connection.run`.
    """
    return _verb(connection, cluster, agent, "look")


def purge(
    connection: Connection, cluster: str, agent: str, archive: Archive, *, is_data: bool = False
) -> Answer:
    """End the agent and remove all that covey put there.

    is_data: what its tasks wrote too (`Answer.held` tells what); else that stays.

    Raises:
        BootstrapFailed: something could not be removed.
        ConnectFailed: as `Connection.run`.
    """
    return _verb_anyhow(connection, cluster, agent, "erase" if is_data else "purge", archive)


def held(connection: Connection, cluster: str, agent: str, archive: Archive) -> Answer:
    """What the tasks of the agent wrote there (`Answer.held`).

    Raises:
        BootstrapFailed: the machine did not answer sensibly.
        ConnectFailed: as `Connection.run`.
    """
    return _verb_anyhow(connection, cluster, agent, "held", archive)


# ---------------------------------------------------------------- inside


def _verb(connection: Connection, cluster: str, agent: str, verb: str) -> Answer:
    return _answer(connection.host, verb, _run_verb(connection, cluster, agent, verb))


def _verb_anyhow(
    connection: Connection, cluster: str, agent: str, verb: str, archive: Archive
) -> Answer:
    """A verb, also where the archive that it would run from is gone: it is sent once more."""
    done = _run_verb(connection, cluster, agent, verb)
    answer = read_answer(done.out)
    if answer is None or (answer.state != "absent" and answer.problem != ARCHIVE_GONE):
        return _answer(connection.host, verb, done)
    if answer.state == "absent" and verb == "held":
        return answer
    # Whatever else is left there is found by the verb only.
    found = probe(connection, cluster)
    send_archive(connection, found, archive)
    command = [found.executable, "-P", f"{found.cache}/{archive.name}", "--on-machine", verb]
    line = " ".join(map(shlex.quote, [*command, cluster, agent]))
    return _answer(connection.host, verb, connection.run(line, timeout_s=_limit_s(verb)))


def _limit_s(verb: str) -> float:
    return DATA_MAX_S if verb in ("held", "erase") else STOP_MAX_S


def _run_verb(connection: Connection, cluster: str, agent: str, verb: str) -> Done:
    # Both names are safe in a shell (`settings.NAME_PATTERN`).
    path = f'"$HOME"/.cache/covey/{cluster}/{agent}/command'
    nothing = f'{ANSWER_MARK}{{"state": "absent", "notes": []}}'
    script = (
        f"if [ -f {path} ]; then exec sh {path} {verb} {cluster} {agent}; fi; "
        f"echo; echo {shlex.quote(nothing)}"
    )
    return connection.run(f"exec sh -c {shlex.quote(script)}", timeout_s=_limit_s(verb))


def _answer(host: Host, step: str, done: Done) -> Answer:
    answer = read_answer(done.out)
    if answer is None:
        raise _no_answer(host, step, done)
    if answer.problem:
        raise _failed(host, step, answer.problem, answer.remedy)
    return answer


def _runner(python: str, size: int) -> str:
    """A command of `python` that runs the first `size` bytes of its standard input as a script.

    The bytes are spelled for 2.7 as for 3; no character in it means anything to any shell inside
    double quotes.
    """
    read = f"exec(getattr(sys.stdin,'buffer',sys.stdin).read({size}).decode('utf-8'))"
    return f'{python} -c "import sys;{read}"'


def _with_python(candidates: tuple[str, ...], script: str, *args: str) -> str:
    """A line that runs a script with the first candidate that is new enough, else with the first.

    The script comes on standard input.
    """
    test = f"import sys; sys.exit(sys.version_info < {PYTHON_MIN})"
    run = _runner('"$p"', len(script.encode()))
    words = " ".join(map(shlex.quote, args))
    none = ANSWER_MARK + '{"python": ""}'
    program = (
        'PATH="$PATH:/usr/local/bin:$HOME/.local/bin"; old=; '
        'for p in "$@"; do '
        'case "$p" in "~/"*) p="$HOME/${p#"~/"}";; esac; '
        f'if "$p" -c {shlex.quote(test)} </dev/null >/dev/null 2>&1; then exec {run} {words}; fi; '
        f'if [ -z "$old" ] && "$p" -c "import sys" </dev/null >/dev/null 2>&1; then old="$p"; fi; '
        "done; "
        f'if [ -n "$old" ]; then p="$old"; exec {run} {words}; fi; '
        f"echo; echo {shlex.quote(none)}"
    )
    return " ".join(["exec sh -c", shlex.quote(program), "sh", *map(shlex.quote, candidates)])


def _probe_of(host: Host, plain: dict[str, Any]) -> Probe:
    python = str(plain.get("python", ""))
    if not python:
        what = f"{host.python} is no python there" if host.python else "no python3 found"
        raise _failed(host, "probe", what, "install one there, or name it: python = in covey.toml")
    number = tuple(int(part) if part.isdigit() else 0 for part in python.split(".")[:2])
    if number < PYTHON_MIN:
        shown, needed = ".".join(map(str, number)), ".".join(map(str, PYTHON_MIN))
        raise _failed(
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
        raise _failed(host, "probe", "the machine answers nonsense", "") from None
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


def _no_answer(host: Host, step: str, done: Done) -> BootstrapFailed:
    lines = (done.err or done.out).decode(errors="replace").strip().splitlines()
    said = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    said = "".join(c if c.isprintable() else "?" for c in said)[:200]
    return _failed(
        host, step, f"no sensible answer (exit {done.code}: {said})", f"covey doctor {host.name}"
    )


def _failed(host: Host, step: str, reason: str, remedy: str) -> BootstrapFailed:
    return BootstrapFailed(reason, machine=host.name, step=step, remedy=remedy)
