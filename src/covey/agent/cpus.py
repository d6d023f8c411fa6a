"""How many slots a machine has, and where the number comes from.

The default is the CPUs that this process may use: its affinity, capped by the CPU quota of its
control group (versions 1 and 2, at any level), rounded up. What a user may write instead:

    4            that many                 0        as many as there may be
    50%, 150%    of the default            +2, -1   more or fewer than the default
    physical     the cores among them, two hardware threads of a core counted once
"""

import math
import os
import re
from pathlib import Path

from covey.errors import SettingsError

#: Slots for "as many as there may be", and the most that anything gives.
SLOTS_MAX = 252

_NUMBER = re.compile(r"([+-]?)(\d+)(%?)\Z")


def default_slots(root: Path = Path("/")) -> tuple[int, str]:
    """(slots, where the number comes from), e.g. (2, "CPUs this process may use (affinity)").

    root: stands for the root directory, for tests.
    """
    allowed = len(_affinity())
    total = os.cpu_count() or allowed
    quota = cpu_quota(root)
    if quota is not None and quota < allowed:
        return max(1, math.ceil(quota)), f"CPU quota of the control group ({quota:g} CPUs)"
    if allowed < total:
        return allowed, f"CPUs this process may use (affinity, of {total})"
    return allowed, "CPUs this process may use"


def parse_slots(text: str, root: Path = Path("/")) -> tuple[int, str]:
    """(slots, where the number comes from) for what a user wrote; "" = the default.

    Raises:
        SettingsError: it is none of the forms above.
    """
    text = text.strip()
    if not text:
        return default_slots(root)
    if text == "physical":
        return _physical(root)
    match = _NUMBER.match(text)
    if match is None:
        raise SettingsError(
            f"slots {text!r}: use a number, N%, +N, -N or physical", key="slots", value=text
        )
    sign, number, percent = match[1], int(match[2]), match[3]
    default, reason = default_slots(root)
    if percent:
        wanted = default * number // 100
        if sign:
            wanted = default + (wanted if sign == "+" else -wanted)
    elif sign:
        wanted = default + (number if sign == "+" else -number)
    elif number == 0:
        return SLOTS_MAX, "0: as many as there may be"
    else:
        return min(number, SLOTS_MAX), "as given"
    return min(max(1, wanted), SLOTS_MAX), f"{text} of {default}: {reason}"


def cpu_quota(root: Path = Path("/")) -> float | None:
    """CPUs that the control groups of this process allow, on any level; None = no limit."""
    quotas: list[float] = []
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if not controllers:
            mounts = [root / "sys/fs/cgroup", root / "sys/fs/cgroup/unified"]
            read = _quota_v2
        elif "cpu" in controllers.split(","):
            mounts = [root / "sys/fs/cgroup" / controllers, root / "sys/fs/cgroup/cpu"]
            read = _quota_v1
        else:
            continue
        for mount in mounts:
            for group in _levels(path):
                if (quota := read(mount / group)) is not None:
                    quotas.append(quota)
    return min(quotas, default=None)


def _levels(path: str) -> list[str]:
    """A control group and all above it, relative to the mount.

    In a container the path may not exist below the mount: then the mount itself is the group.
    """
    parts = [part for part in path.split("/") if part and part != ".."]
    return ["/".join(parts[:count]) for count in range(len(parts), -1, -1)]


def _quota_v2(group: Path) -> float | None:
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _quota_v1(group: Path) -> float | None:
    try:
        quota = int((group / "cpu.cfs_quota_us").read_text())
        period = int((group / "cpu.cfs_period_us").read_text())
        return None if quota <= 0 else quota / period
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _physical(root: Path) -> tuple[int, str]:
    """Cores of which at least one hardware thread may be used."""
    cores: set[str] = set()
    for cpu in _affinity():
        topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        try:
            cores.add((topology / "thread_siblings_list").read_text().strip())
        except OSError:
            cores.add(str(cpu))
    default, reason = default_slots(root)
    if default < len(cores):
        return default, reason
    return len(cores), "physical cores this process may use"


def _affinity() -> set[int]:
    try:
        return os.sched_getaffinity(0)
    except (AttributeError, OSError):
        return set(range(os.cpu_count() or 1))
