"""One step on a machine: a command over ssh with a time limit, one answer after a mark.

What start-up files of the shell print is skipped; what makes no sense is refused, with what was
said instead.
"""

from typing import Protocol

from covey.agent.machine import Answer, marked_json, read_answer
from covey.errors import BootstrapFailed
from covey.fleet.host import Host

#: Exit status of a Python that was told to run nothing if it is too old.
TOO_OLD = 86


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


def runner(python: str, size: int, *, oldest: tuple[int, int] = (0, 0)) -> str:
    """A command of `python` that runs the first `size` bytes of its standard input as a script.

    One that is older than `oldest` reads nothing and ends with TOO_OLD.

    Modules that lie about in the home directory are not taken for Python's own. Not a byte more is
    read than those: what follows is for the script, and may hold keys. It is spelled for 2.7 as for
    3; no character in it means anything to any shell inside double quotes.
    """
    read = "r=lambda n:(lambda p:p and p+r(n-len(p)))(os.read(0,n)) if n else b''"
    run = f"exec(r({size}).decode('utf-8'))"
    test = f"sys.version_info<{oldest} and sys.exit({TOO_OLD})"
    return f'{python} -c "import os,sys;{test};sys.path[:]=filter(None,sys.path);{read};{run}"'


def answer_of(host: Host, step: str, done: Done) -> Answer:
    """What a verb answered.

    Raises:
        BootstrapFailed: nothing sensible, or that something could not be done.
    """
    answer = read_answer(done.out)
    if answer is None:
        # What receives the archive has no state to tell.
        plain = marked_json(done.out) or {}
        if problem := plain.get("problem"):
            raise failed(host, "send", str(problem), str(plain.get("remedy", "")))
        raise no_answer(host, step, done)
    if answer.problem:
        raise failed(host, step, answer.problem, answer.remedy)
    return answer


def no_answer(host: Host, step: str, done: Done) -> BootstrapFailed:
    """The error when there is no answer: what was said instead."""
    lines = (done.err or done.out).decode(errors="replace").strip().splitlines()
    said = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
    said = "".join(c if c.isprintable() else "?" for c in said)[:200]
    return failed(
        host, step, f"no sensible answer (exit {done.code}: {said})", f"covey doctor {host.name}"
    )


def failed(host: Host, step: str, reason: str, remedy: str) -> BootstrapFailed:
    """The error of a step that says why."""
    return BootstrapFailed(reason, machine=host.name, step=step, remedy=remedy)
