"""One machine over the user's own OpenSSH: one connection, and everything else through it.

The first connection is a *master* (ControlMaster): a process in a session of its own that outlives
whoever opened it. Commands and forwards ride in it, so that a task costs no ssh process and a
command no handshake. Whoever comes later (the head, the next command) adopts it by its socket.

ssh_config decides how a machine is reached; the master alone reads it. What rides in the master
reads no configuration (its forwards and commands would come along) and never falls back to a
connection of its own.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from covey.fleet.connection import OPEN_MAX_S, Connection
from covey.fleet.host import Host
from covey.fleet.master import destination
from covey.fleet.ssh_command import Answers, Done, public_key_file, script, ssh_command, words
from covey.fleet.ssh_errors import Target, diagnose, failed, no_program

#: A question to a master that runs here (alive? forward this) is answered by then, or never.
CONTROL_MAX_S = 10.0


class Ssh:
    """The ssh command as this call uses it, and where its control sockets lie."""

    def __init__(
        self, control_dir: Path, environ: Mapping[str, str], *, answers: Answers | None = None
    ) -> None:
        """control_dir: is made, 0700; its path is short (a socket in it is at most 90 bytes)."""
        self.control_dir = control_dir
        self.environ = dict(environ)
        self.answers = answers
        self.command = ssh_command(environ)

    def connection(self, host: Host) -> "Connection":
        """The connection to a machine; not opened yet."""
        return Connection(self, host)

    def forget(self) -> None:
        """Remove the control directory: for when no machine is connected any more."""
        shutil.rmtree(self.control_dir, ignore_errors=True)

    def config(self, host: Host) -> dict[str, str]:
        """What ssh_config comes to for a machine (`ssh -G`): keyword, in small letters -> value.

        A keyword that may stand more than once has its values on lines.

        Raises:
            ConnectFailed: there is no ssh, or its configuration is wrong.
        """
        done = self.call([*self.command, "-G", *destination(host)])
        if done.code:
            raise failed(
                host,
                diagnose(done.err.decode(errors="replace"), Target(host.name, host.address, {})),
            )
        found: dict[str, str] = {}
        for line in done.out.decode(errors="replace").splitlines():
            key, _, value = line.partition(" ")
            found[key] = f"{found[key]}\n{value}" if key in found else value
        return found

    def public_keys(self, config: Mapping[str, str]) -> Path | None:
        """A file with the public keys that are tried first; those of the ssh-agent else."""
        if (found := public_key_file(config)) is not None:
            return found
        listed = self.call(["ssh-add", "-L"])
        if listed.code or not listed.out.startswith((b"ssh-", b"ecdsa-", b"sk-")):
            return None
        path = self.control_dir / "agent.pub"
        path.write_bytes(listed.out)
        return path

    def call(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_s: float = CONTROL_MAX_S,
        environ: Mapping[str, str] | None = None,
    ) -> Done:
        """Run a program of OpenSSH and gather what it says.

        Raises:
            ConnectFailed: there is no such program.
            TimeoutError: it takes too long.
        """
        try:
            done = subprocess.run(
                argv,
                input=stdin,
                capture_output=True,
                env=environ or self.environ,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as slow:
            raise TimeoutError(f"{argv[0]} did not end within {timeout_s:g} s") from slow
        except OSError as error:
            raise no_program(argv[0], error) from error
        return Done(done.returncode, done.stdout, done.stderr)

    def pass_through(self, argv: Sequence[str]) -> int:
        """Run it with our own stdin, stdout and stderr; its exit code.

        Raises:
            ConnectFailed: there is no such program.
        """
        try:
            process = subprocess.Popen(argv, env=self.environ)
        except OSError as error:
            raise no_program(argv[0], error) from error
        while True:
            try:
                code = process.wait()
            except KeyboardInterrupt:
                # It got the Ctrl-C as well, and ends in its own way.
                continue
            return code if code >= 0 else 128 - code

    def pipe(
        self, argv: Sequence[str], *, err: int = subprocess.DEVNULL
    ) -> "subprocess.Popen[bytes]":
        """Run it with pipes at its stdin and stdout. err: what becomes of its stderr.

        Raises:
            ConnectFailed: there is no such program.
        """
        try:
            return subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # What went wrong is asked of the master; what a command says comes on stdout.
                stderr=err,
                env=self.environ,
                # A Ctrl-C is for us: whoever speaks through the pipe ends it in order.
                process_group=0,
            )
        except OSError as error:
            raise no_program(argv[0], error) from error

    def spawn(
        self, options: Sequence[str], log: Path, more: Mapping[str, str]
    ) -> "subprocess.Popen[bytes]":
        """Start a master: in a session of its own, its words in a file.

        Raises:
            ConnectFailed: there is no ssh.
        """
        with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            try:
                return subprocess.Popen(
                    [*self.command, *options],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=file,
                    cwd="/",
                    env={**self.environ, **more},
                    start_new_session=True,
                )
            except OSError as error:
                raise no_program(self.command[0], error) from error

    def is_locked(self, public_key: Path | None) -> bool:
        """Whether the private half of a key is there and needs a passphrase."""
        if public_key is None or not (private := public_key.with_suffix("")).is_file():
            return False
        return self.call(["ssh-keygen", "-y", "-P", "", "-f", str(private)]).code != 0

    def copy_key(self, key: Path, options: Sequence[str]) -> Done:
        """ssh-copy-id; it makes its notes in ~/.ssh, which is not there on every head."""
        with tempfile.TemporaryDirectory(dir=self.control_dir) as home:
            (Path(home) / ".ssh").mkdir(mode=0o700)
            environ = {**self.environ, "HOME": home}
            return self.call(["ssh-copy-id", "-f", "-i", str(key), *options], environ=environ)


__all__ = ["OPEN_MAX_S", "Answers", "Connection", "Done", "Ssh", "script", "words"]
