"""What the machine is doing: load, free memory, free disk. Linux first; unknown figures are 0."""

import os
import shutil
from pathlib import Path

#: The disk is asked only every so many readings: on a network filesystem the answer can be slow.
DISK_EVERY = 10


class Gauges:
    """Readings of this machine; `path` names the disk that matters."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0
        self._disk_free = 0
        self._last: dict[str, float | int] = {}

    def read(self) -> dict[str, float | int]:
        """Fresh figures: load1, mem_free (bytes available), disk_free (bytes)."""
        if self._count % DISK_EVERY == 0:
            try:
                self._disk_free = shutil.disk_usage(self._path).free
            except OSError:
                self._disk_free = 0
        self._count += 1
        self._last = {
            "load1": os.getloadavg()[0],
            "mem_free": memory_available_bytes(),
            "disk_free": self._disk_free,
        }
        return self._last

    def facts(self) -> dict[str, float | int]:
        """The last reading."""
        return self._last or self.read()


def memory_available_bytes() -> int:
    """MemAvailable of /proc/meminfo: what can be used without swapping; 0 where there is none."""
    try:
        with Path("/proc/meminfo").open(encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return 0
