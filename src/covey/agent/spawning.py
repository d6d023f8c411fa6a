"""Starts one command, as a shell would: finds it, and says why where it cannot be run."""

import errno
import os
import shutil
import signal

from covey.agent.capture import Capture
from covey.agent.outbox import raise_fd

#: As shells say: not found, and found but not to be run.
NOT_FOUND = 127
NOT_RUNNABLE = 126

#: Python ignores these for itself; a command must not inherit that.
_RESET = [signal.SIGPIPE, signal.SIGXFSZ]


class CannotStart(Exception):
    """A command could not be started: the exit status and the message of its task."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.exit = status
        self.text = b"covey: " + os.fsencode(text) + b"\n"


class Spawner:
    """Starts the commands of one context.

    null: descriptor of /dev/null, the stdin of those that get none.
    """

    def __init__(self, shell: bytes, null: int) -> None:
        self.shell = shell
        #: Name of a program -> where it was found.
        self._programs: dict[bytes, bytes] = {}
        self._null = null

    def spawn(
        self, argv: list[bytes], env: dict[bytes, bytes], stdin: bytes | None, capture: Capture
    ) -> int:
        """The pid of the new command, the leader of a process group of its own.

        Raises:
            CannotStart: it is not there, or the kernel refuses it.
        """
        source = self._null if stdin is None else _filled(stdin)
        actions = [
            (os.POSIX_SPAWN_DUP2, source, 0),
            (os.POSIX_SPAWN_DUP2, capture.out, 1),
            (os.POSIX_SPAWN_DUP2, capture.err, 2),
        ]
        name = os.fsdecode(argv[0])
        try:
            try:
                return self._start(argv, env, actions)
            except OSError as error:
                if error.errno != errno.ENOEXEC:
                    raise
                # A script without a first line: shells run it themselves.
                return self._start([self.shell, self._find(argv[0], env), *argv[1:]], env, actions)
        except FileNotFoundError as error:
            # The program, or the interpreter that its first line names.
            raise CannotStart(NOT_FOUND, f"{name}: no such file or interpreter") from error
        except OSError as error:
            raise CannotStart(NOT_RUNNABLE, f"{name}: {error.strerror}") from error
        except ValueError as error:
            why = str(error)
            if any(b"\0" in word for word in argv):
                why = "no argument can hold a NUL — do items end with NUL? Then give --null (-0)"
            raise CannotStart(NOT_RUNNABLE, f"{name}: {why}") from error
        finally:
            if source != self._null:
                os.close(source)

    def _start(
        self, argv: list[bytes], env: dict[bytes, bytes], actions: list[tuple[int, int, int]]
    ) -> int:
        known = argv[0] in self._programs
        path = self._find(argv[0], env)
        try:
            return os.posix_spawn(
                path, argv, env, file_actions=actions, setpgroup=0, setsigmask=(), setsigdef=_RESET
            )
        except FileNotFoundError:
            self._programs.pop(argv[0], None)
            if not known:
                raise
        # It was there once and has moved.
        return self._start(argv, env, actions)

    def _find(self, name: bytes, env: dict[bytes, bytes]) -> bytes:
        """The path of a program, by the PATH of the task."""
        if b"/" in name:
            return name
        path = self._programs.get(name)
        if path is None:
            where = env.get(b"PATH", os.fsencode(os.defpath))
            found = shutil.which(os.fsdecode(name), path=os.fsdecode(where))
            if found is None:
                raise CannotStart(NOT_FOUND, f"{os.fsdecode(name)}: command not found")
            path = self._programs[name] = os.fsencode(found)
        return path


def _filled(data: bytes) -> int:
    """A descriptor from which `data` can be read."""
    fd = os.memfd_create("covey-stdin", os.MFD_CLOEXEC)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return raise_fd(fd)
