"""Who descends from whom on this machine, and how to end what got away. Linux: reads /proc.

A process is named by pid *and* start time: pids are used again, the pair is not. Every function
takes a process that vanishes meanwhile as ended, never as an error.
"""

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

#: What was asked to end (SIGTERM) is killed after this time.
TERM_GRACE_S = 2.0
#: How often what was ended is looked at for processes that it forked meanwhile.
_ROUNDS_MAX = 10
#: How often a process that was signalled is looked at again.
_LOOK_S = 0.02
#: A process that SIGKILL has not ended by then hangs in the kernel: nothing more can be done.
_KILL_MAX_S = 5.0
#: Longest that a process is waited for that is becoming another program, and how often it is looked
#: at.
_EXEC_MAX_S = 1.0
_EXEC_LOOK_S = 0.001
#: Fields of /proc/PID/stat as `_stat` counts them, and what is in the first (linux/sched.h).
_FLAGS, _ENV_START, _ENV_END = 6, 47, 48
_PF_EXITING, _PF_KTHREAD = 0x4, 0x200000


class Process(NamedTuple):
    """One process, for ever: no other has this pair."""

    pid: int
    #: Clock ticks after boot.
    started: int


def identify(pid: int) -> Process | None:
    """The process that has this pid now; None when there is none, or only its zombie."""
    fields = _stat(pid)
    if fields is None or fields[0] in (b"Z", b"X"):
        return None
    return Process(pid, int(fields[19]))


def children(pid: int) -> list[int]:
    """Pids of the children of a process, zombies included."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    except FileNotFoundError:
        # The process is gone, or the kernel was built without these files: then the long way.
        found = _by_parent().get(pid, []) if identify(pid) else []
    except OSError:
        pass
    return found


def descendants(pid: int) -> list[int]:
    """Pids of all that descend from a process, parents before children."""
    found: list[int] = []
    queue = [pid]
    while queue:
        born = children(queue.pop())
        found += born
        queue += born
    return found


def signal_all(pids: Iterable[int], number: int) -> None:
    """Signals each process; SIGTERM is followed by SIGCONT, for what is stopped cannot obey."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)
            if number == signal.SIGTERM:
                os.kill(pid, signal.SIGCONT)


def find_owned(owner: str) -> list[Process]:
    """Our user's processes whose environment holds exactly COVEY_OWNER=<owner>; never this one."""
    wanted = b"COVEY_OWNER=" + os.fsencode(owner)
    uid = os.getuid()
    found: list[Process] = []
    for pid in _pids():
        if pid == os.getpid():
            continue
        try:
            if os.stat(f"/proc/{pid}").st_uid != uid:
                continue
            process = identify(pid)
            is_owned = wanted in _environment(pid).split(b"\0")
        except OSError:
            continue
        if process and is_owned:
            found.append(process)
    return found


def kill_orphans(owner: str, grace_s: float = 1.0) -> int:
    """Ends what a dead agent left behind: SIGTERM, `grace_s`, SIGKILL. Blocks until it is gone.

    owner: the incarnation of that agent, which every process it started carries as COVEY_OWNER.
    Returns how many processes were ended.
    """
    count = 0
    # What is being ended may fork: look again until nothing is found.
    for _ in range(_ROUNDS_MAX):
        found = find_owned(owner)
        if not found:
            break
        count += end_all(found, grace_s)
        grace_s = 0.0
    return count


def end_all(processes: Iterable[Process], grace_s: float) -> int:
    """Ends these processes: SIGTERM, `grace_s`, SIGKILL. Blocks until they are gone.

    Returns how many there were.
    """
    left = [p for p in processes if identify(p.pid) == p]
    count = len(left)
    now = time.monotonic()
    kill_at, give_up_at = now + grace_s, now + grace_s + _KILL_MAX_S
    signal_all([p.pid for p in left], signal.SIGTERM)
    while left and (now := time.monotonic()) < give_up_at:
        time.sleep(_LOOK_S)
        # Looked at right before a signal: the pid may be another's by now.
        left = [p for p in left if identify(p.pid) == p]
        if now >= kill_at:
            signal_all([p.pid for p in left], signal.SIGKILL)
    return count


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _environment(pid: int) -> bytes:
    """As the kernel shows it. A process that is just becoming another program shows none, and is
    waited for: whoever looks for what a dead agent left would overlook it.
    """
    until = time.monotonic() + _EXEC_MAX_S
    while True:
        with open(f"/proc/{pid}/environ", "rb") as file:
            shown = file.read()
        if shown or _has_no_environment(pid) or time.monotonic() > until:
            return shown
        time.sleep(_EXEC_LOOK_S)


def _has_no_environment(pid: int) -> bool:
    fields = _stat(pid)
    if fields is None or len(fields) <= _ENV_END or fields[0] in (b"Z", b"X"):
        return True
    if int(fields[_FLAGS]) & (_PF_EXITING | _PF_KTHREAD):
        return True
    # Nowhere: it has got no memory yet as the new program.
    return fields[_ENV_START] == fields[_ENV_END] != b"0"


def _stat(pid: int) -> list[bytes] | None:
    """The fields of /proc/PID/stat from the third (state) on: the second may hold any byte."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return None


def _by_parent() -> dict[int, list[int]]:
    tree: dict[int, list[int]] = {}
    for pid in _pids():
        if fields := _stat(pid):
            tree.setdefault(int(fields[1]), []).append(pid)
    return tree
