"""A command on one machine, beside jobs and bus: through its ssh connection, or here for a virtual
machine. Standard input, a terminal and the exit code pass through.
"""

import difflib
import os
import shlex
import subprocess
from collections.abc import Sequence

from covey.client.cluster import Machine, files_of
from covey.errors import NotUp, UsageError
from covey.fleet.ssh import Connection, Done, Ssh, script
from covey.settings import Settings

#: Seconds between TERM and KILL of a command at its time limit.
KILL_AFTER_S = 2
#: Exit code of `timeout` there when the time limit ended the command.
TIMED_OUT = 124
#: What a shell adds to the number of the signal that ended a command.
SIGNAL_BASE = 128
#: A command is waited for as long as it takes, but `Connection.run` wants a number: ten days, for
#: poll(2) takes no more than 24.
_FOREVER_S = 10 * 24 * 3600.0


def machine_of(settings: Settings, name: str) -> Machine:
    """The machine of that name.

    Raises:
        NotUp: there is no cluster.
        UsageError: it has no such machine.
    """
    machines = {machine.name: machine for machine in files_of(settings).machines()}
    if not machines:
        raise NotUp(f"cluster {settings.cluster} is not up — start it with: covey up {name}")
    # A machine is called after its address with dashes for dots; both may be typed.
    found = machines.get(name) or machines.get(name.replace(".", "-"))
    if found is None:
        near = difflib.get_close_matches(name, machines, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(machines)}"
        raise UsageError(f"there is no machine {name!r} in the cluster — {hint}")
    if found.kind == "joined":
        raise UsageError(
            f"{name} joined by its own ssh, so nobody can log in there from here"
            f" — use: covey run --limit {name} -- COMMAND"
        )
    return found


def pass_through(
    settings: Settings, machine: Machine, words: Sequence[str], *, tty: bool, timeout_s: float = 0.0
) -> int:
    """Run it with our own stdin, stdout and stderr; its exit code (128+n: killed by a signal).

    words: one is a line for sh, several are a program and its arguments, none is a login shell.

    Raises:
        ConnectFailed: the machine cannot be reached.
    """
    text = _text(machine, words, tty=tty, timeout_s=timeout_s)
    if machine.kind == "ssh":
        return _connection(settings, machine).passthrough(script(text), tty=tty)
    process = subprocess.Popen(["/bin/sh", "-c", text], env=_environment(machine))
    while True:
        try:
            code = process.wait()
        except KeyboardInterrupt:
            # It got the Ctrl-C as well, and ends in its own way.
            continue
        return code if code >= 0 else SIGNAL_BASE - code


def gather(
    settings: Settings,
    machine: Machine,
    words: Sequence[str],
    *,
    stdin: bytes = b"",
    timeout_s: float = 0.0,
) -> Done:
    """Run it and gather what it wrote.

    Raises:
        ConnectFailed: the machine cannot be reached.
    """
    text = _text(machine, words, tty=False, timeout_s=timeout_s)
    if machine.kind == "ssh":
        connection = _connection(settings, machine)
        return connection.run(script(text), stdin=stdin, timeout_s=_FOREVER_S)
    done = subprocess.run(
        ["/bin/sh", "-c", text],
        input=stdin,
        capture_output=True,
        env=_environment(machine),
        check=False,
    )
    code = done.returncode
    return Done(code if code >= 0 else SIGNAL_BASE - code, done.stdout, done.stderr)


def _text(machine: Machine, words: Sequence[str], *, tty: bool, timeout_s: float) -> str:
    """A script for sh. It stays until the command ends, so that a signal is an exit code."""
    if not words:
        command = 'exec "${SHELL:-/bin/sh}" -l'
    elif len(words) == 1:
        command = shlex.join(["sh", "-c", words[0]])
    else:
        command = shlex.join(words)
    if timeout_s:
        # In a group of its own it could not read the terminal.
        foreground = "--foreground " if tty else ""
        command = f"timeout {foreground}-k {KILL_AFTER_S} {timeout_s:g} {command}"
    return f"{_enter(machine.directory)}{command}\nexit $?"


def _enter(directory: str) -> str:
    if directory in ("", "~"):
        return ""
    if directory.startswith("~/"):
        return f'cd -- "$HOME"/{shlex.quote(directory[2:])} || exit 125\n'
    return f"cd -- {shlex.quote(directory)} || exit 125\n"


def _environment(machine: Machine) -> dict[str, str]:
    return {**os.environ, "COVEY_MACHINE": machine.name}


def _connection(settings: Settings, machine: Machine) -> Connection:
    host = machine.host
    assert host is not None
    connection = Ssh(files_of(settings).control_dir(), os.environ).connection(host)
    connection.open()
    return connection
