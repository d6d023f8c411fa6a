"""Which computer this is, as far as a caller's directory and environment mean the same on it."""

import os
import platform
from functools import cache
from pathlib import Path

#: Random for each start of the kernel; containers share it, and differ in their host names.
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def this_computer() -> str:
    """Equal for two processes only if they run on one computer, for one user."""
    return f"{platform.node()} {_boot()} {os.getuid()}"


@cache
def _boot() -> str:
    # A process does not outlive its kernel.
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return "-"
