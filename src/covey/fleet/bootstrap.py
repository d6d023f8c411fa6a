"""Brings an agent onto a machine over a connection: send the archive, start; stop, purge.

Each step is one command over ssh (`fleet.step`). Nothing of it is kept here.
"""

import hashlib
import shlex

from covey.agent.machine import (
    ANSWER_MARK,
    ARCHIVE_GONE,
    LOG,
    VERB_OPTIONS,
    Answer,
    MachineOrder,
    marked_json,
    order_line,
    read_answer,
)
from covey.fleet.archive import Archive
from covey.fleet.probe import Probe, agent_environment, probe
from covey.fleet.probing import RECEIVE
from covey.fleet.step import Connection, Done, answer_of, failed, no_answer, runner

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
    command, stdin = _sending(found, name, data)
    done = connection.run(command, stdin=stdin, timeout_s=SEND_MAX_S)
    plain = marked_json(done.out)
    if plain is None:
        raise no_answer(connection.host, "send", done)
    if problem := plain.get("problem"):
        raise failed(connection.host, "send", str(problem), str(plain.get("remedy", "")))


def start(connection: Connection, found: Probe, archive: Archive, order: MachineOrder) -> Answer:
    """Start the agent unless it runs (see `covey.agent.machine.State`).

    The archive goes along where it is not there: a command of its own would cost as much again.

    Raises:
        BootstrapFailed: the archive did not arrive, or the agent did not start; with its reason.
        ConnectFailed: as `Connection.run`.
    """
    limit_s = PACKAGES_MAX_S if order.packages else START_MAX_S
    data = b""
    if archive.name not in found.archives:
        data, limit_s = archive.read(), limit_s + SEND_MAX_S
    words = (found.cache, archive.name, archive.digest, str(len(data)))
    verb = ("start", order.cluster, order.agent)
    # An agent finds what is installed there, as tasks do; its own modules come first.
    line = f"{_receiver(found.executable, '-P')} {shlex.join([*words, *verb])}"
    script = f"{agent_environment()}; exec {line}"
    command = f"exec sh -c {shlex.quote(script)}"
    stdin = RECEIVE.encode() + data + order_line(order)
    done = connection.run(command, stdin=stdin, timeout_s=limit_s)
    return answer_of(connection.host, "start", done)


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


def check_runs(connection: Connection, cluster: str, agent: str, pid: int) -> None:
    """Return when a process that was started there as an agent has not ended.

    Raises:
        BootstrapFailed: it has; with what it said last.
        ConnectFailed: as `Connection.run`.
    """
    # Far cheaper than a verb; where it cannot be said so, the verb can.
    line = f"grep -qs '^State:.[^ZX]' /proc/{pid}/status"
    if connection.run(f"exec sh -c {shlex.quote(line)}", timeout_s=STOP_MAX_S).code == 0:
        return
    found = look(connection, cluster, agent)
    if found.state != "absent":
        return
    said, path = found.said or "it said nothing", f"~/.cache/covey/{cluster}/{agent}/{LOG}"
    reason = f"the agent ended as soon as it was started: {said} (its log there: {path})"
    raise failed(connection.host, "start", reason, f"covey doctor {connection.host.name}")


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
    return answer_of(connection.host, verb, _run_verb(connection, cluster, agent, verb))


def _verb_anyhow(
    connection: Connection, cluster: str, agent: str, verb: str, archive: Archive
) -> Answer:
    """A verb, also where the archive that it would run from is gone: it is sent once more."""
    done = _run_verb(connection, cluster, agent, verb)
    answer = read_answer(done.out)
    if answer is None or (answer.state != "absent" and answer.problem != ARCHIVE_GONE):
        return answer_of(connection.host, verb, done)
    if answer.state == "absent" and verb == "held":
        return answer
    # Whatever else is left there is found by the verb only.
    found = probe(connection, cluster)
    send_archive(connection, found, archive)
    line = shlex.join([*_verb_argv(found, archive, verb), cluster, agent])
    return answer_of(connection.host, verb, connection.run(line, timeout_s=_limit_s(verb)))


def _verb_argv(found: Probe, archive: Archive, verb: str) -> list[str]:
    # Its own modules are all that a verb needs; an agent finds what is installed there as well.
    return [found.executable, *VERB_OPTIONS, f"{found.cache}/{archive.name}", "--on-machine", verb]


def _sending(found: Probe, name: str, data: bytes) -> tuple[str, bytes]:
    """Command and input that put a file into the cache there."""
    words = (found.cache, name, hashlib.sha256(data).hexdigest(), str(len(data)))
    command = f"{_receiver(found.executable, '-S')} {shlex.join(words)}"
    return command, RECEIVE.encode() + data


def _receiver(python: str, option: str) -> str:
    return runner(f"{shlex.quote(python)} {option}", len(RECEIVE.encode()))


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
