"""The connection to one machine: its master, and what rides in it (see `fleet.ssh`)."""

import random
import re
import subprocess
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from covey.agent import proctree
from covey.errors import ConnectFailed
from covey.files.private import make_private
from covey.fleet.host import Host
from covey.fleet.master import (
    MasterFiles,
    check_name,
    copy_options,
    destination,
    inner_options,
    login_options,
)
from covey.fleet.ssh_command import Answers, Done, agent_is_gone, public_key_file
from covey.fleet.ssh_errors import (
    NO_KEY,
    PASSING,
    Target,
    Trouble,
    diagnose,
    failed,
    needs_key,
    no_answer,
)

#: An `open` in which nobody is asked takes no longer.
OPEN_MAX_S = 30.0
#: How often a connection that sshd closed (MaxStartups) is tried again, and the first pause.
ATTEMPTS_MAX = 4
PAUSE_S = 0.3
#: sshd takes 10 sessions in one connection (MaxSessions); the rest is for people's own.
SESSIONS_MAX = 8
#: A lock of another who opens or closes the same connection is waited for so long.
CLOSE_MAX_S = 10.0
#: How often a master that logs in is looked at: at first, and when it takes long.
_LOOK_S = 0.01
_LOOK_MAX_S = 0.05
#: A master that was told to end is killed after this time.
_END_GRACE_S = 2.0
#: ssh's own failure; a command there may end so, too.
_FAILED = 255


class Program(Protocol):
    """What is needed of `fleet.ssh.Ssh`."""

    control_dir: Path
    environ: dict[str, str]
    command: list[str]
    answers: Answers | None

    def call(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = ...) -> Done:
        """Run it and gather what it says."""
        ...

    def pass_through(self, argv: Sequence[str]) -> int:
        """Run it with our own stdin, stdout and stderr."""
        ...

    def pipe(
        self, argv: Sequence[str], *, err: int = subprocess.DEVNULL
    ) -> "subprocess.Popen[bytes]":
        """Run it with pipes at its stdin and stdout."""
        ...

    def spawn(
        self, options: Sequence[str], log: Path, more: Mapping[str, str]
    ) -> "subprocess.Popen[bytes]":
        """Start a master."""
        ...

    def config(self, host: Host) -> dict[str, str]:
        """What `ssh -G` says."""
        ...

    def public_keys(self, config: Mapping[str, str]) -> Path | None:
        """A file with the public keys that are tried first."""
        ...

    def is_locked(self, public_key: Path | None) -> bool:
        """Whether the private half needs a passphrase."""
        ...

    def copy_key(self, key: Path, options: Sequence[str]) -> Done:
        """ssh-copy-id."""
        ...


class Connection:
    """One machine. Blocks: callers use threads. Every method raises ConnectFailed."""

    def __init__(self, ssh: Program, host: Host) -> None:
        """Use `Ssh.connection`."""
        self.host = host
        self._ssh = ssh
        self.files = MasterFiles.of(ssh.control_dir, host)
        self._sessions = threading.BoundedSemaphore(SESSIONS_MAX)
        self._config: Mapping[str, str] = {}
        #: Connections that sshd closed in the greeting of the last `open`.
        self.closed_count = 0
        self._child: subprocess.Popen[bytes] | None = None

    # ------------------------------------------------------------ the master

    def open(
        self,
        *,
        is_interactive: bool = False,
        accept_new: bool = False,
        timeout_s: float = OPEN_MAX_S,
    ) -> int | None:
        """Adopt the master that runs (its process id), or start one (None), and have it logged in.

        is_interactive: questions go to `answers` of the Ssh; else nothing is ever asked.
        accept_new: an unknown host key is taken (a changed one never).
        """
        check_name(self.host)
        self._ssh.control_dir.parent.mkdir(parents=True, exist_ok=True)
        make_private(self._ssh.control_dir)
        until = time.monotonic() + timeout_s
        with self.files.locked(until) as is_ours:
            if (adopted := self.pid()) is not None:
                return adopted
            if not is_ours:
                raise failed(self.host, no_answer(self._target, timeout_s))
            self._end()
            self._config = self._ssh.config(self.host)
            self._open_anew(is_interactive, accept_new, timeout_s)
            return None

    def _open_anew(self, is_interactive: bool, accept_new: bool, timeout_s: float) -> None:
        answers = self._ssh.answers if is_interactive else None
        options = login_options(
            self.files,
            self.host,
            self._config,
            asking=answers.options() if answers else None,
            accept_new=accept_new,
        )
        until = time.monotonic() + timeout_s
        attempt = 1
        while trouble := self._log_in(options, answers, timeout_s, until):
            pause_s = PAUSE_S * 2**attempt * random.uniform(0.25, 0.75)
            is_last = attempt == ATTEMPTS_MAX or time.monotonic() + pause_s > until
            if trouble.kind not in PASSING or is_last:
                raise failed(self.host, self._with_agent(trouble, is_interactive))
            time.sleep(pause_s)
            self.closed_count = attempt
            attempt += 1

    def _with_agent(self, trouble: Trouble, is_interactive: bool) -> Trouble:
        """Say it if only a key is missing that the user could give us."""
        if trouble.kind != "denied" or is_interactive:
            return trouble
        if agent_is_gone(self._ssh.environ):
            return needs_key(self._target, trouble, "the ssh-agent is gone (SSH_AUTH_SOCK)")
        if self._ssh.is_locked(public_key_file(self._config)):
            return needs_key(self._target, trouble, "your key has a passphrase: ssh-add")
        return trouble

    def _log_in(
        self, options: Sequence[str], answers: Answers | None, timeout_s: float, until: float
    ) -> Trouble | None:
        name = self.host.name
        more = answers.environ(name) if answers else None
        child = self._ssh.spawn(options, self.files.log, more or {})
        pause_s = _LOOK_S
        # Already now: whoever ends it must find it, also when we die while it connects.
        self.files.write_process(child.pid)
        while not self.files.is_listening():
            if child.poll() is not None and not self.files.is_listening():
                return diagnose(self.files.said(), self._target)
            waited_s = answers.asked_s(name) if answers else 0.0
            if time.monotonic() > until + waited_s:
                child.kill()
                child.wait()
                return no_answer(self._target, timeout_s)
            time.sleep(pause_s)
            pause_s = min(1.2 * pause_s, _LOOK_MAX_S)
        self._child = child
        weakref.finalize(self, _let_go, child)
        return None

    def pid(self) -> int | None:
        """The master's process id, if it is alive and answers."""
        if self._child is not None:
            # Reaped here, so that it is no zombie for whoever looks at its pid.
            self._child.poll()
        if not self.files.is_listening():
            return None
        done = self._control("check")
        found = re.search(rb"\(pid=(\d+)\)", done.err + done.out)
        return int(found[1]) if done.code == 0 and found else None

    def close(self) -> None:
        """End the master, with all that rides in it. No error if there is none."""
        if not self._ssh.control_dir.is_dir():
            return
        with self.files.locked(time.monotonic() + CLOSE_MAX_S):
            self._end()

    def _end(self) -> None:
        process = self.files.process()
        if process is None and (pid := self.pid()) is not None:
            # Whoever started it was killed before it could be noted.
            process = proctree.identify(pid)
        if process is not None:
            proctree.end_all([process], _END_GRACE_S)
        if self._child is not None:
            self._child.poll()
            self._child = None
        self.files.forget()

    def said(self) -> str:
        """What the master wrote to stderr, for people and logs."""
        return self.files.said()

    # ------------------------------------------------------------ commands

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float) -> Done:
        """Run a line of the login shell there (see `words`, `script`) and gather what it wrote."""
        argv = [*self._inner(), "-T", *destination(self.host), command]
        try:
            with self._sessions:
                done = self._ssh.call(argv, stdin=stdin, timeout_s=timeout_s)
        except TimeoutError as slow:
            raise self.silence(timeout_s) from slow
        self.check(done)
        return done

    def passthrough(self, command: str, *, tty: bool = False) -> int:
        """Run with our own stdin, stdout and stderr; its exit code. "" = a login shell."""
        line = [command] if command else []
        how = "-t" if tty else "-T"
        code = self._ssh.pass_through([*self._inner(), how, *destination(self.host), *line])
        if code == _FAILED:
            self._check_failure(b"")
        return code

    def pipe(self, command: str, *, err: int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
        """Run with pipes at its stdin and stdout, for as long as the connection lasts.

        Who calls it closes it, waits for its end, and has it checked (`check`). err: what becomes
        of its stderr.
        """
        return self._ssh.pipe([*self._inner(), "-T", *destination(self.host), command], err=err)

    def check(self, done: Done) -> None:
        """Raise where it was ssh that failed, and not the command."""
        if done.code == _FAILED:
            self._check_failure(done.err)

    def silence(self, after_s: float) -> ConnectFailed:
        """The error that says that nothing came for so long."""
        return failed(self.host, no_answer(self._target, after_s))

    def _check_failure(self, err: bytes) -> None:
        """Tell ssh's own failure from a command that ended with 255."""
        if self.pid() is None:
            raise failed(self.host, self._lost())
        trouble = diagnose(_text(err), self._target)
        if trouble.kind == "sessions":
            raise failed(self.host, trouble)

    def _lost(self) -> Trouble:
        """Why the master is gone, if it said so."""
        return diagnose(self.files.said() or "Connection closed", self._target)

    def copy_key(self) -> None:
        """Let our key in from now on (`ssh-copy-id`, through the connection that is open)."""
        key = self._ssh.public_keys(self._config or self._ssh.config(self.host))
        if key is None:
            raise failed(self.host, NO_KEY)
        options = copy_options(self.files, self.host)
        try:
            done = self._ssh.copy_key(key, options)
        except TimeoutError as slow:
            raise failed(self.host, no_answer(self._target, CLOSE_MAX_S)) from slow
        if done.code:
            raise failed(self.host, diagnose(_text(done.err), self._target))

    # ------------------------------------------------------------ forwards

    def forward_socket(self, remote_path: str, local_port: int) -> None:
        """Listen on a unix socket there, carry it to 127.0.0.1:`local_port` here."""
        self._forward("forward", "-R", f"{remote_path}:127.0.0.1:{local_port}")

    def forward_port(self, local_port: int) -> int:
        """Listen on a free loopback port there, carry it here; the port there."""
        said = self._forward("forward", "-R", f"127.0.0.1:0:127.0.0.1:{local_port}")
        return int(said)

    def forward_from(self, local_socket: Path, remote_port: int) -> None:
        """Listen on a unix socket here, carry it to 127.0.0.1:`remote_port` there."""
        self._forward("forward", "-L", f"{local_socket}:127.0.0.1:{remote_port}")

    def cancel_socket(self, remote_path: str, local_port: int) -> None:
        """End a `forward_socket`."""
        self._forward("cancel", "-R", f"{remote_path}:127.0.0.1:{local_port}")

    def cancel_port(self, remote_port: int, local_port: int) -> None:
        """End a `forward_port`."""
        self._forward("cancel", "-R", f"127.0.0.1:0:127.0.0.1:{local_port}")

    def cancel_from(self, local_socket: Path, remote_port: int) -> None:
        """End a `forward_from`."""
        self._forward("cancel", "-L", f"{local_socket}:127.0.0.1:{remote_port}")
        local_socket.unlink(missing_ok=True)

    def _forward(self, verb: str, direction: str, spec: str) -> str:
        done = self._control(verb, direction, spec)
        if done.code:
            if self.pid() is None:
                raise failed(self.host, self._lost())
            raise failed(self.host, diagnose(_text(done.err), self._target))
        return _text(done.out)

    # ------------------------------------------------------------

    @property
    def _target(self) -> Target:
        return Target(self.host.name, self.host.address, self._config)

    def _inner(self) -> list[str]:
        return [*self._ssh.command, *inner_options(self.files)]

    def _control(self, verb: str, *options: str) -> Done:
        argv = [*self._inner(), "-O", verb, *options, *destination(self.host)]
        try:
            return self._ssh.call(argv)
        except TimeoutError:
            # It stands still: for us it is gone.
            return Done(_FAILED, b"", b"")


def _let_go(master: "subprocess.Popen[bytes]") -> None:
    """It outlives whoever opened it, and that is no leak of a program that calls us."""
    if master.poll() is None:
        master.returncode = 0


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
