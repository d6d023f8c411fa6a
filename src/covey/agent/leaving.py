"""Ends an agent on its machine, and takes away what covey brought there, not what users made."""

import contextlib
import os
import platform
import shutil
import signal
import time
from pathlib import Path

from covey.agent import made, outputs, persist, proctree, record, runtime
from covey.agent.machine import Answer, cache_of
from covey.agent.record import AgentRecord
from covey.bus.record import start_time
from covey.errors import BootstrapFailed

#: From SIGTERM to SIGKILL of an agent: its tasks get a second to end.
STOP_MAX_S = 5.0
#: Looking again whether a process has ended.
LOOK_EVERY_S = 0.02


def stop(cluster: str, agent: str) -> Answer:
    """End the agent, its tasks, its sockets and keys; its log and the archive stay.

    Raises:
        BootstrapFailed: it runs on another machine that shares this home.
    """
    cache = cache_of(cluster)
    found = record.read(cache / agent / record.NAME)
    was_kept = persist.forget(cluster, agent)
    if found is None:
        return Answer("stopped" if was_kept else "absent", agent=agent)
    check_host(found)
    end(found)
    (cache / agent / record.NAME).unlink(missing_ok=True)
    return Answer("stopped", agent=agent, pid=found.pid, incarnation=found.incarnation)


def held(cluster: str, agent: str) -> Answer:
    """What the tasks of the agent wrote: what `erase` would remove."""
    found = outputs.held(cache_of(cluster) / agent)
    return Answer("listed", agent=agent, held=tuple(found))


def purge(cluster: str, agent: str) -> Answer:
    """`stop`, and then remove all that is left of covey here; what tasks wrote stays.

    What belongs to other agents that share this home stays, for their own purge.

    Raises:
        BootstrapFailed: as `stop`, or something cannot be removed.
    """
    stop(cluster, agent)
    _purge(cluster, agent)
    return Answer("purged", agent=agent)


def erase(cluster: str, agent: str) -> Answer:
    """`purge`, and remove what the tasks of the agent wrote into directories that were made then.

    Raises:
        BootstrapFailed: as `purge`. The notes are kept then, for another time.
    """
    stop(cluster, agent)
    directory = cache_of(cluster) / agent
    found = tuple(outputs.held(directory))
    try:
        outputs.remove(directory)
    except OSError as error:
        where = f"{error.filename or directory}: {error.strerror}"
        raise BootstrapFailed(
            f"what tasks wrote cannot be removed: {where}",
            remedy="make it writable there (chmod -R u+w), then again",
        ) from error
    _purge(cluster, agent)
    return Answer("purged", agent=agent, held=found)


def _purge(cluster: str, agent: str) -> None:
    cache = cache_of(cluster)
    outputs.remove_empty(cache / agent)
    shutil.rmtree(cache / agent, ignore_errors=True)
    is_last = not list(cache.glob(f"*/{record.NAME}"))
    dirs = made.noted(cache / made.NAME)
    if is_last:
        shutil.rmtree(cache, ignore_errors=True)
    made.remove_empty(dirs)
    left = cache if is_last else cache / agent
    if left.exists():
        raise BootstrapFailed(f"{left} cannot be removed", remedy=f"remove it there: {left}")


def end(found: AgentRecord) -> None:
    """End an agent of this computer and what it left, whatever became of it."""
    if found.is_alive:
        # A frozen one cannot obey.
        proctree.signal_all([found.pid], signal.SIGTERM)
        if not _has_ended(found, STOP_MAX_S):
            with contextlib.suppress(ProcessLookupError):
                os.kill(found.pid, signal.SIGKILL)
            _has_ended(found, STOP_MAX_S)
    if found.is_here:
        proctree.kill_orphans(found.incarnation)
    runtime_dir = Path(found.runtime_dir)
    runtime.remove(runtime_dir)
    with contextlib.suppress(OSError):
        # The base of all of them, when this was the last.
        runtime_dir.parent.rmdir()


def check_host(found: AgentRecord) -> None:
    """Refuse to touch an agent of another machine with the same home.

    Raises:
        BootstrapFailed: it is.
    """
    if found.hostname != platform.node() and not found.is_here:
        raise BootstrapFailed(
            f"agent {found.agent} runs on {found.hostname}, which shares this home",
            remedy=f"give this machine another name; if {found.hostname} is gone for good, remove"
            f" ~/.cache/covey/*/{found.agent} there",
        )


def forget_archives(cache: Path, current: str, kept_s: float) -> None:
    """Remove archives that no agent runs from and that were not used for a while."""
    records = [record.read(path) for path in cache.glob(f"*/{record.NAME}")]
    used = {current, *(found.archive for found in records if found is not None)}
    # Not covey-head-…: a head runs from that, and is no agent.
    for path in cache.glob("covey-[0-9a-f]*.pyz"):
        with contextlib.suppress(OSError):
            if path.name not in used and time.time() - path.stat().st_mtime > kept_s:
                path.unlink()


def _has_ended(found: AgentRecord, timeout_s: float) -> bool:
    until = time.monotonic() + timeout_s
    while start_time(found.pid) == found.started:
        if time.monotonic() > until:
            return False
        time.sleep(LOOK_EVERY_S)
    return True
