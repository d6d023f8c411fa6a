"""Brings a cluster up and takes it down: the only module that starts heads and lasting agents."""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from covey import errors
from covey.agent import proctree, runtime
from covey.agent.cpus import default_slots, parse_slots
from covey.agent.order import BusOrder, StartOrder, order_to_line
from covey.bus.config import AGENT_PREFIX, ServerConfig
from covey.bus.record import start_time
from covey.client.client import HeadClient
from covey.client.cluster import ClusterFiles, Machine, ProcessRecord, files_of
from covey.client.private import python_command
from covey.core.roster import AgentState
from covey.errors import AlreadyUp, CoveyError, StartFailed, UsageError
from covey.head.machines import LOOK_EVERY_S, remove_traces, stop_agent, wait_for_end
from covey.head.server import running_server
from covey.scheduler import locks
from covey.scheduler.folding import head_is_up
from covey.scheduler.opening import explained
from covey.scheduler.places import settled
from covey.settings import ANSWER_TIMEOUT_S, Settings

#: Virtual machines that one `up --local` makes at most.
LOCAL_MACHINES_MAX = 256
#: Agents started at the same time.
STARTS_AT_ONCE = 4
#: From SIGTERM to SIGKILL of the head.
HEAD_STOP_MAX_S = 10.0
#: A second `up` or `down` waits this long for the first.
UP_MAX_S = 120.0

#: {name, slots, started}
Started = dict[str, Any]


def up_local(settings: Settings, *, machines: int, slots: str | None) -> dict[str, Any]:
    """Bring up a head and `machines` virtual machines of `slots` slots each (`parse_slots`).

    What a killed head left running is adopted. Returns {"machines": [{name, slots, started}]}.

    Raises:
        AlreadyUp: a head runs, and all its machines do.
        CoveyError: something did not start; what was started is taken down again.
    """
    if not 1 <= machines <= LOCAL_MACHINES_MAX:
        raise UsageError(f"--local {machines}: give a number from 1 to {LOCAL_MACHINES_MAX}")
    count, source = default_slots() if slots is None else parse_slots(slots)
    settings, note = settled(settings)
    files = files_of(settings)
    wanted = [_local_machine(files, number, count, source) for number in range(1, machines + 1)]
    with _alone(settings):
        runtime.sweep()
        if head_is_up(settings.state_dir):
            started = _repair(settings, files)
        else:
            started, told = _bring_up(settings, files, wanted)
            note = "; ".join(filter(None, (note, told)))
        _await_ready(settings, {machine["name"] for machine in started if machine["started"]})
    return {"machines": started, "note": note}


def _bring_up(
    settings: Settings, files: ClusterFiles, wanted: list[Machine]
) -> tuple[list[Started], str]:
    known = files.machines()
    if not known or not any(_is_alive(files, machine.name) for machine in known):
        for machine in known:
            _end_agent(files, machine.name)
        files.write_machines(wanted)
    else:
        wanted = known
    files.make_keys([machine.name for machine in wanted])
    try:
        told = _start_head(settings, files)
        return _start_agents(settings, files, wanted), told
    except BaseException:
        _take_down(settings)
        raise


def _await_ready(settings: Settings, started: set[str]) -> None:
    """Return when the head has met all machines, and those just started work.

    One that does not come in time is not waited for: `covey status` shows it.
    """
    with HeadClient.connect(settings) as head:
        until = time.monotonic() + ANSWER_TIMEOUT_S
        while time.monotonic() < until:
            states = {m["name"]: m["state"] for m in head.ask("status")["machines"]}
            is_met = AgentState.JOINING not in states.values()
            if is_met and all(states.get(name) == AgentState.READY for name in started):
                return
            time.sleep(LOOK_EVERY_S)


@contextlib.contextmanager
def _alone(settings: Settings) -> Generator[None]:
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


def down(settings: Settings) -> dict[str, Any]:
    """Take the cluster down: head, agents, bus server, keys, sockets. The ledger stays.

    Returns {"was_up": bool, "machines": [names]}.
    """
    if not settings.state_dir.is_dir():
        return {"was_up": False, "machines": []}
    with _alone(settings):
        return _take_down(settings)


def _take_down(settings: Settings) -> dict[str, Any]:
    files = files_of(settings)
    head = _living_head(settings, files)
    was_up = head is not None
    if head is not None:
        # One that stands still cannot obey.
        proctree.signal_all([head.pid], signal.SIGTERM)
        if not wait_for_end(head, HEAD_STOP_MAX_S):
            os.kill(head.pid, signal.SIGKILL)
            wait_for_end(head, HEAD_STOP_MAX_S)
    names = [machine.name for machine in files.machines()]

    def end(name: str) -> None:
        _end_agent(files, name)

    with ThreadPoolExecutor(STARTS_AT_ONCE) as pool:
        list(pool.map(end, names))
    server = running_server(ServerConfig(settings.cluster, files.bus_dir, ()))
    if server is not None:
        server.stop()
    files.forget()
    return {"was_up": was_up or bool(names), "machines": names}


def _living_head(settings: Settings, files: ClusterFiles) -> ProcessRecord | None:
    """The head's process; one that is just starting is waited for."""
    until = time.monotonic() + ANSWER_TIMEOUT_S
    while True:
        head = files.head()
        if head is not None and head.is_alive:
            return head
        if not head_is_up(settings.state_dir) or time.monotonic() > until:
            return None
        time.sleep(LOOK_EVERY_S)


def _local_machine(files: ClusterFiles, number: int, slots: int, slots_from: str) -> Machine:
    name = f"local{number}"
    return Machine(name, slots, slots_from, str(files.machine_dir(name) / "work"))


def _repair(settings: Settings, files: ClusterFiles) -> list[Started]:
    dead = [machine for machine in files.machines() if not _is_alive(files, machine.name)]
    if not dead:
        raise AlreadyUp(f"cluster {settings.cluster} is up already: see it with: covey status")
    return _start_agents(settings, files, dead)


def _is_alive(files: ClusterFiles, name: str) -> bool:
    record = files.agent(name)
    return record is not None and record.is_alive


def _end_agent(files: ClusterFiles, name: str) -> None:
    record = files.agent(name)
    if record is None:
        return
    if record.is_alive:
        stop_agent(record)
    else:
        remove_traces(record)


def _start_agents(
    settings: Settings, files: ClusterFiles, machines: list[Machine]
) -> list[Started]:
    def start(machine: Machine) -> Started:
        started = _start_agent(settings, files, machine)
        return {"name": machine.name, "slots": machine.slots, "started": started}

    with ThreadPoolExecutor(STARTS_AT_ONCE) as pool:
        return list(pool.map(start, machines))


def _start_head(settings: Settings, files: ClusterFiles) -> str:
    """Returns what is to be told ("" = nothing)."""
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
        bus=_bus_order(files, machine.name),
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


def _bus_order(files: ClusterFiles, name: str) -> BusOrder:
    address = files.address()
    if not address.is_ours:
        # The user's bus: one credential, in the address.
        return BusOrder(address.url, address.user, address.password, is_ours=False)
    return BusOrder(address.url, AGENT_PREFIX + name, files.password(name))


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
