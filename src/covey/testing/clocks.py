"""Machines whose clocks are wrong: libfaketime around everything that an sshd starts there."""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from covey.agent import proctree
from covey.testing.programs import find_program
from covey.testing.sshd import Fleet

#: The loader finds the directory of its own architecture.
_LIBRARY = "/usr/$LIB/faketime/libfaketime.so.1"
_SHARED = Path("/dev/shm")


@contextmanager
def wrong_clocks(lab: Fleet, offsets: Mapping[str, str]) -> Generator[None]:
    """Sessions on machines begin with another time, as `faketime -f` takes it: `-20000d`, `+1h`.

    Their monotonic clock is off by as much, as of a computer that was started then.

    Raises:
        Unavailable: there is no faketime.
    """
    find_program("faketime")
    enter = lab.directory / "enter"
    usual = enter.read_text()
    first, rest = usual.split("\n", 1)
    cases = " ".join(f"*/{name}/home) FAKETIME={by};;" for name, by in offsets.items())
    told = f"case \"$HOME\" in {cases} esac\nexport FAKETIME LD_PRELOAD='{_LIBRARY}'\n"
    enter.write_text(f"{first}\n{told}{rest}")
    try:
        yield
    finally:
        enter.write_text(usual)
        _sweep()


def _sweep() -> None:
    """Remove what killed processes left of libfaketime's."""
    for path in (*_SHARED.glob("faketime_shm_*"), *_SHARED.glob("sem.faketime_sem_*")):
        pid = path.name.rpartition("_")[2]
        if os.access(path, os.W_OK) and pid.isdigit() and proctree.identify(int(pid)) is None:
            with suppress(OSError):
                path.unlink()
