"""Heads, and the agents of virtual machines, as processes: started and ended here only."""

import contextlib
import json
import os
import secrets
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from covey import errors
from covey.agent import proctree, runtime
from covey.agent.order import BusOrder, StartOrder, order_to_line
from covey.bus.config import AGENT_PREFIX, ServerConfig
from covey.bus.record import start_time, write_private
from covey.client.cluster import COMMAND, ClusterFiles, Machine, ProcessRecord
from covey.client.program import covey_root, python_command
from covey.errors import CoveyError, StartFailed
from covey.head.machines import LOOK_EVERY_S, remove_traces, stop_agent, wait_for_end
from covey.head.server import running_server
from covey.scheduler import locks
from covey.scheduler.locks import head_is_up
from covey.scheduler.opening import explained
from covey.settings import ANSWER_TIMEOUT_S, START_MAX_S, Settings

#: Agents started at the same time.
STARTS_AT_ONCE = 4
#: From SIGTERM to SIGKILL of the head, and of a shared scheduler.
HEAD_STOP_MAX_S = 10.0
#: A second `up` or `down` waits this long for the first.
UP_MAX_S = 120.0

#: What of our environment a covey that is started by ssh or at boot needs too.
CARRIED = ("COVEY_NATS_SERVER", "COVEY_NATS_URL", "COVEY_SSH_COMMAND")

#: {name, slots, started}
Started = dict[str, Any]


@contextlib.contextmanager
def alone(settings: Settings) -> Generator[None]:
    """One `up` or `down` of a cluster at a time; the second waits for the first.

    Raises:
        StateInUse: the other one does not come to its end.
        LedgerError: the state directory cannot be written.
    """
    try:
        settings.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise explained(error, settings.state_dir) from error
    fd = locks.take(settings.state_dir / "up.lock", wait_s=UP_MAX_S)
    try:
        yield
    finally:
        os.close(fd)


def stop_head(settings: Settings, files: ClusterFiles, *, is_now: bool = False) -> bool:
    """End the head, if there is one; whether there was."""
    head = living_head(settings, files)
    if head is None:
        return False
    # One that stands still cannot obey.
    proctree.signal_all([head.pid], signal.SIGKILL if is_now else signal.SIGTERM)
    if not wait_for_end(head, HEAD_STOP_MAX_S):
        proctree.signal_all([head.pid], signal.SIGKILL)
        wait_for_end(head, HEAD_STOP_MAX_S)
    return True


def stop_schedulers(files: ClusterFiles, *, is_now: bool = False) -> None:
    """End the shared schedulers of the cluster; agents stop their tasks."""
    alive = [record for record in files.schedulers().values() if record.is_alive]
    signal_first = signal.SIGKILL if is_now else signal.SIGTERM
    proctree.signal_all([record.pid for record in alive], signal_first)
    for record in alive:
        if not wait_for_end(record, HEAD_STOP_MAX_S):
            proctree.signal_all([record.pid], signal.SIGKILL)
            wait_for_end(record, HEAD_STOP_MAX_S)


def stop_bus(settings: Settings, files: ClusterFiles) -> None:
    """End the bus server of the cluster, if there is one."""
    server = running_server(ServerConfig(settings.cluster, files.bus_dir, ()))
    if server is not None:
        server.stop()


def living_head(settings: Settings, files: ClusterFiles) -> ProcessRecord | None:
    """The head's process; one that is just starting is waited for."""
    until = time.monotonic() + START_MAX_S
    while True:
        head = files.head()
        if head is not None and head.is_alive:
            return head
        if not head_is_up(settings.state_dir) or time.monotonic() > until:
            return None
        time.sleep(LOOK_EVERY_S)


def is_alive(files: ClusterFiles, name: str) -> bool:
    """Whether the agent of a virtual machine runs."""
    record = files.agent(name)
    return record is not None and record.is_alive


def command_text(settings: Settings) -> str:
    """What runs covey for this cluster from anywhere on this computer: `sh command status`."""
    env = {name: os.environ[name] for name in CARRIED if os.environ.get(name)}
    env["COVEY_HOME"] = str(settings.home)
    exports = [f"export {name}={shlex.quote(value)}" for name, value in sorted(env.items())]
    program = f"import sys; sys.path.insert(0, {covey_root()!r}); sys.argv[0] = 'covey'; "
    program += "from covey.cli.entry import main; sys.exit(main())"
    line = shlex.join([sys.executable, "-P", "-c", program, "--cluster", settings.cluster])
    return "\n".join([*exports, f'exec {line} "$@"', ""])


def unit_name(settings: Settings) -> str:
    """What a head that comes back after a restart is called among the user's units."""
    return f"covey-{settings.cluster}-head"


def end_agent(files: ClusterFiles, name: str, *, is_now: bool = False) -> None:
    """End the agent of a virtual machine, and what is left of it."""
    record = files.agent(name)
    if record is None:
        return
    if record.is_alive:
        stop_agent(record, is_now=is_now)
    else:
        remove_traces(record)


def start_agents(settings: Settings, files: ClusterFiles, machines: list[Machine]) -> list[Started]:
    """Start the agents of virtual machines that do not run.

    Raises:
        StartFailed: one did not come up; its log is named.
    """

    def start(machine: Machine) -> Started:
        started = _start_agent(settings, files, machine)
        return {"name": machine.name, "slots": machine.slots, "started": started}

    with ThreadPoolExecutor(STARTS_AT_ONCE) as pool:
        return list(pool.map(start, machines))


def start_head(settings: Settings, files: ClusterFiles) -> str:
    """Start a head; returns what the user is to be told ("" = nothing).

    Raises:
        CoveyError: why it did not start.
    """
    logs = files.dir / "logs"
    logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    log_path = logs / "head.log"
    with log_path.open("ab") as log_file:
        process = subprocess.Popen(
            python_command("covey.head"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            start_new_session=True,
            cwd=files.dir,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    plain = {
        key: str(value) if isinstance(value, Path) else value
        for key, value in asdict(settings).items()
    }
    word: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        process.stdin.write(json.dumps(plain).encode() + b"\n")
        process.stdin.close()
        word = json.loads(process.stdout.readline() or b"{}")
    process.stdout.close()
    if word.get("ready"):
        _let_go(process)
        write_private(files.dir / COMMAND, command_text(settings))
        return str(word.get("note") or "")
    process.kill()
    process.wait()
    name, reason = word.get("error", ["StartFailed", f"the head did not start: see {log_path}"])
    kind = getattr(errors, name, StartFailed)
    raise (kind if issubclass(kind, CoveyError) else StartFailed)(reason)


def _start_agent(settings: Settings, files: ClusterFiles, machine: Machine) -> bool:
    """Start the agent of a virtual machine unless it runs; whether it was started.

    Raises:
        StartFailed: it did not come up; its log is named.
    """
    record = files.agent(machine.name)
    if record is not None and record.is_alive:
        return False
    if record is not None:
        remove_traces(record)
    directory = Path(machine.directory)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    incarnation = secrets.token_hex(16)
    made = runtime.create(incarnation)
    order = StartOrder(
        cluster=files.space(settings.cluster),
        agent=machine.name,
        key=files.agent_keys()[machine.name].hex(),
        incarnation=incarnation,
        slots=machine.slots,
        slots_from=machine.slots_from,
        workdir=machine.directory,
        runtime_dir=str(made.path),
        bus=bus_order(files, machine.name),
        cache_dir=str(files.machine_dir(machine.name)),
        lock_fds=(made.lock_fd,),
    )
    logs = files.dir / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    log_path = logs / f"agent-{machine.name}.log"
    with log_path.open("ab") as log_file:
        process = subprocess.Popen(
            python_command("covey.agent"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log_file,
            pass_fds=[made.lock_fd],
            start_new_session=True,
            cwd=directory,
            env={**os.environ, "COVEY_OWNER": incarnation},
        )
    made.release()
    started = start_time(process.pid) or 0
    files.write_agent(
        machine.name,
        ProcessRecord(process.pid, started, incarnation=incarnation, runtime_dir=str(made.path)),
    )
    _greet(process, order_to_line(order), machine.name, log_path)
    return True


def bus_order(files: ClusterFiles, name: str) -> BusOrder:
    """How the agent of a virtual machine reaches the bus."""
    address = files.address()
    if not address.is_ours:
        # The user's bus: one credential, in the address.
        return BusOrder(address.url, address.user, address.password, is_ours=False)
    return BusOrder(address.url, AGENT_PREFIX + name, files.password(name), ca=address.ca)


def _greet(process: subprocess.Popen[bytes], line: bytes, name: str, log_path: Path) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    word: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        process.stdin.write(line)
        process.stdin.close()
        word = json.loads(process.stdout.readline() or b"{}")
    process.stdout.close()
    if not word.get("ready"):
        process.kill()
        process.wait(ANSWER_TIMEOUT_S)
        reason = word.get("error", ["", f"see {log_path}"])[1]
        raise StartFailed(f"{name} did not start: {reason}", what=name, reason=reason)
    _let_go(process)


def _let_go(process: "subprocess.Popen[bytes]") -> None:
    """It is to outlive us: nobody waits for it, and that is no leak of a program that calls us."""
    process.returncode = 0
