"""The verbs on a machine: `python3 covey-<digest>.pyz --on-machine start`, and so on.

`covey.fleet.bootstrap` calls them through ssh. Each prints one answer and ends; the agent that
`start` starts is in a session of its own, and stays when ssh goes.

    start [CLUSTER AGENT]    an order on standard input; again: says that the agent runs
    look, stop, purge CLUSTER AGENT
    held, erase CLUSTER AGENT    what tasks wrote; purge that too
    boot CLUSTER AGENT    start what `--persist` keeps for after a reboot
"""

import contextlib
import fcntl
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Generator
from pathlib import Path

from covey._version import VERSION
from covey.agent import detached, leaving, made, packages, persist, record, runtime
from covey.agent.cpus import parse_slots
from covey.agent.detached import Detached
from covey.agent.here import this_computer
from covey.agent.machine import (
    ARCHIVE_GONE,
    LOG,
    VERB_OPTIONS,
    Answer,
    MachineOrder,
    State,
    answer_line,
    cache_of,
    read_order,
)
from covey.agent.order import ORDER_MAX_BYTES, BusOrder, StartOrder, order_to_line
from covey.agent.record import AgentRecord
from covey.agent.runtime import RuntimeDir
from covey.bus.forwarded import SCHEME, newest_number
from covey.bus.record import start_time, write_private
from covey.errors import BootstrapFailed, CoveyError
from covey.files.mounts import file_system_of, is_network

#: From its start until an agent says that it lives.
READY_MAX_S = 30.0
#: A second `start` of an agent waits this long for the first.
ALONE_MAX_S = 60.0
#: How often the lock of another start is tried.
LOOK_EVERY_S = 0.05
#: An archive that no agent runs from is kept this long after it was last used.
ARCHIVE_KEPT_S = 24 * 3600.0

_LINGER = Path("/var/lib/systemd/linger")


def main() -> int:
    """Run the verb in our arguments."""
    verb, *words = sys.argv[1:] or [""]
    try:
        answer = _run(verb, words)
    except CoveyError as error:
        answer = Answer("failed", problem=str(error), remedy=error.data.get("remedy", ""))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        answer = Answer("failed", problem=f"{error.strerror or error}{where}")
    # A start-up file may have printed half a line.
    sys.stdout.write(f"\n{answer_line(answer)}\n")
    sys.stdout.flush()
    return 1 if answer.problem else 0


def _run(verb: str, words: list[str]) -> Answer:
    if verb == "start":
        # Before the order is read: it holds keys, and the zygote is to have none.
        waiting = _forked(*words)
        try:
            return start(_read_order(), waiting=waiting)
        finally:
            if waiting is not None:
                waiting.close()
    if verb == "boot":
        return start(persist.kept_order(*words), is_boot=True)
    verbs = {
        "look": look,
        "stop": leaving.stop,
        "held": leaving.held,
        "purge": leaving.purge,
        "erase": leaving.erase,
    }
    if verb not in verbs or len(words) != 2:
        raise BootstrapFailed(f"no verb {verb!r} of {', '.join(['start', *verbs])}")
    return verbs[verb](*words)


def look(cluster: str, agent: str) -> Answer:
    """Whether the agent runs, and where."""
    found = record.read(cache_of(cluster) / agent / record.NAME)
    if found is None or not found.is_alive:
        return Answer("absent", agent=agent, said=_last_word(cache_of(cluster) / agent))
    return _answer("running", found)


def start(order: MachineOrder, *, is_boot: bool = False, waiting: Detached | None = None) -> Answer:
    """Start the agent unless it runs.

    is_boot: it is what was kept for a boot. waiting: it was forked already, and gets its order.

    Raises:
        CoveyError, OSError: it did not start.
    """
    directory = cache_of(order.cluster) / order.agent
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    archive = Path(sys.argv[0]).absolute()
    with _alone(directory):
        found = record.read(directory / record.NAME)
        if found is not None:
            leaving.check_host(found)
            if found.is_alive and found.key_digest == record.digest_of_key(order.key):
                return _kept(order, found, archive)
            leaving.end(found)
        env = runtime_env()
        runtime.sweep(env)
        os.utime(archive)
        leaving.forget_archives(cache_of(order.cluster), archive.name, ARCHIVE_KEPT_S)
        python = packages.python_with(order.packages, directory)
        _write_command(directory, archive)
        is_new = order.is_persistent and not is_boot
        notes = persist.keep(order, archive) if is_new else ()
        started = _spawn(order, directory, python, archive, env, waiting)
    return _answer("started", started, (*_notes(started), *notes))


def runtime_env() -> dict[str, str]:
    """The environment, without $XDG_RUNTIME_DIR where that goes when we log out."""
    env = dict(os.environ)
    if not (_LINGER / env.get("USER", env.get("LOGNAME", "-"))).exists():
        env.pop("XDG_RUNTIME_DIR", None)
    return env


# ---------------------------------------------------------------- inside


def _read_order() -> MachineOrder:
    try:
        return read_order(sys.stdin.buffer.readline(ORDER_MAX_BYTES))
    except (ValueError, TypeError, KeyError):
        raise BootstrapFailed("the order to start an agent makes no sense") from None


def _forked(cluster: str = "", agent: str = "") -> Detached | None:
    """The agent to be, where ssh gave us its name and the environment that it is to have."""
    if not (agent and os.environ.get("COVEY_OWNER")):
        return None
    directory = cache_of(cluster) / agent
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return detached.fork(directory / LOG)
    except OSError:
        # What is wrong there is said by whoever wants to write next.
        return None


@contextlib.contextmanager
def _alone(directory: Path) -> Generator[None]:
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + ALONE_MAX_S
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise BootstrapFailed("another start of this agent hangs there") from None
                time.sleep(LOOK_EVERY_S)
            except OSError:
                # A network home without locks: two starts at once are unlikely enough.
                break
        yield
    finally:
        os.close(fd)


def _kept(order: MachineOrder, found: AgentRecord, archive: Path) -> Answer:
    """The answer of an agent that runs already."""
    if found.archive != archive.name or (order.is_persistent and not found.is_persistent):
        return _answer("outdated", found)
    notes = persist.keep(order, archive) if order.is_persistent else ()
    return _answer("running", found, notes)


def _answer(state: State, found: AgentRecord, notes: tuple[str, ...] = ()) -> Answer:
    return Answer(
        state,
        agent=found.agent,
        pid=found.pid,
        incarnation=found.incarnation,
        runtime_dir=found.runtime_dir,
        bus_number=newest_number(Path(found.runtime_dir)),
        archive=found.archive,
        version=found.version,
        python=found.python,
        slots=found.slots,
        slots_from=found.slots_from,
        workdir=found.workdir,
        is_persistent=found.is_persistent,
        notes=notes,
    )


def _notes(started: AgentRecord) -> tuple[str, ...]:
    kind = file_system_of(Path.home())
    if not is_network(kind):
        return ()
    return (f"its home is on a network ({kind}): sockets are in {started.runtime_dir}",)


def _write_command(directory: Path, archive: Path) -> None:
    """What runs the verbs from now on, without asking again which Python to take."""
    python, path = shlex.quote(sys.executable), shlex.quote(str(archive))
    options = shlex.join(VERB_OPTIONS)
    gone = Answer("failed", problem=ARCHIVE_GONE, remedy="bring it up again: covey up")
    text = f"""\
[ -f {path} ] && exec {python} {options} {path} --on-machine "$@"
echo; echo {shlex.quote(answer_line(gone))}
"""
    write_private(directory / "command", text)


def _workdir(order: MachineOrder) -> Path:
    given = order.workdir or (f"covey/{order.agent}" if order.is_home_shared else ".")
    path = Path(os.path.normpath(Path.home() / Path(given).expanduser()))
    made.make_dirs(path, cache_of(order.cluster) / made.NAME)
    return path


def _spawn(
    order: MachineOrder,
    directory: Path,
    python: str,
    archive: Path,
    env: dict[str, str],
    waiting: Detached | None,
) -> AgentRecord:
    is_forked = waiting is not None and python == sys.executable
    incarnation = os.environ["COVEY_OWNER"] if is_forked else os.urandom(16).hex()
    space = runtime.create(incarnation, env)
    if is_network(kind := file_system_of(space.path)):
        runtime.remove(space.path)
        space.release()
        raise BootstrapFailed(
            f"{space.path.parent} is on a network ({kind}), and sockets cannot be there",
            remedy="set TMPDIR to a directory of its local disk, in the start-up file of the shell",
        )
    told = _start_order(order, directory, incarnation, space)
    if waiting is None or not is_forked:
        argv = [python, "-P", str(archive), "--agent"]
        waiting = detached.spawn(argv, directory / LOG, incarnation)
    written = _record(order, told, waiting.pid, archive.name)
    record.write(directory / record.NAME, written)
    waiting.order(order_to_line(told), space.lock_fd)
    space.release()
    _await_ready(waiting, written, directory)
    return written


def _start_order(
    order: MachineOrder, directory: Path, incarnation: str, space: RuntimeDir
) -> StartOrder:
    slots, slots_from = parse_slots(order.slots)
    url = order.bus_url or f"{SCHEME}{space.path}"
    return StartOrder(
        cluster=order.space,
        agent=order.agent,
        key=order.key,
        incarnation=incarnation,
        slots=slots,
        slots_from=slots_from,
        workdir=str(_workdir(order)),
        runtime_dir=str(space.path),
        bus=BusOrder(url, order.user, order.password, is_ours=not order.bus_url, ca=order.ca),
        is_here=False,
        cache_dir=str(directory),
        may_wait=True,
        without_bus_s=0.0 if order.is_persistent else order.without_bus_s,
        record=str(directory / record.NAME),
        log=str(directory / LOG),
    )


def _record(order: MachineOrder, told: StartOrder, pid: int, archive: str) -> AgentRecord:
    return AgentRecord(
        agent=order.agent,
        computer=this_computer(),
        hostname=platform.node(),
        pid=pid,
        started=start_time(pid) or 0,
        incarnation=told.incarnation,
        runtime_dir=told.runtime_dir,
        archive=archive,
        version=VERSION,
        python=platform.python_version(),
        slots=told.slots,
        slots_from=told.slots_from,
        workdir=told.workdir,
        key_digest=record.digest_of_key(order.key),
        is_persistent=order.is_persistent,
    )


def _await_ready(agent: Detached, written: AgentRecord, directory: Path) -> None:
    with contextlib.suppress(ValueError):
        if json.loads(agent.hear(READY_MAX_S) or b"{}").get("ready"):
            return
    agent.kill()
    leaving.end(written)
    said = _last_word(directory) or "it said nothing"
    raise BootstrapFailed(f"the agent did not start: {said} (its log there: {directory / LOG})")


def _last_word(directory: Path) -> str:
    """The last line of the agent's log."""
    try:
        return packages.last_line((directory / LOG).read_bytes())
    except OSError:
        return ""
