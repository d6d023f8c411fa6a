"""A covey that sits at a real terminal."""

import os
import subprocess
import sys

from covey.testing.cluster import Lab
from covey.testing.ending import end
from covey.testing.waiting import wait_until

#: Longest time to anything that is awaited, on a starved machine.
WAIT_MAX_S = 100.0


class OnTerminal:
    """A command whose terminal we hold the other end of."""

    def __init__(self, covey: Lab, *words: str) -> None:
        self.ours, theirs = os.openpty()
        name = os.ttyname(theirs)
        # The first terminal that the leader of a session opens is its own.
        take = 'exec <>"$0" >&0 2>&1; exec "$@"'
        self.process = subprocess.Popen(
            ["sh", "-c", take, name, sys.executable, "-m", "covey", *words],
            stdin=subprocess.DEVNULL,
            env=covey.env,
            cwd=covey.directory,
            start_new_session=True,
        )
        os.close(theirs)
        os.set_blocking(self.ours, False)
        self._shown = b""

    @property
    def shown(self) -> str:
        """What is on the screen."""
        try:
            while data := os.read(self.ours, 65536):
                self._shown += data
        except OSError:
            pass
        return self._shown.decode(errors="replace")

    def await_text(self, text: str) -> None:
        wait_until(lambda: text in self.shown, describe=lambda: self.shown, timeout_s=WAIT_MAX_S)

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def end(self) -> int:
        wait_until(
            # What it writes is read on: a full terminal would hold it up.
            lambda: (self.shown, self.process.poll())[1] is not None,
            describe=lambda: self.shown,
            timeout_s=WAIT_MAX_S,
        )
        return self.process.returncode

    def close(self) -> None:
        end(self.process)
        os.close(self.ours)
