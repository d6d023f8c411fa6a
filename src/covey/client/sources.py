"""The modules of a program that other machines do not have: they travel as sources.

What is installed (standard library, site-packages) does not travel: it is there, or `packages` of
the inventory brings it.
"""

import os
import sys
import sysconfig
from functools import cache, lru_cache
from pathlib import Path

from covey.errors import Unpicklable

#: Sources of one program, in bytes: beyond that it should be installed on the machines.
SOURCES_MAX_BYTES = 8 * 1024 * 1024
#: Modules of the program whose source is kept in memory.
SOURCES_KEPT_MAX = 512

_INSTALLED = tuple(
    str(Path(path).resolve())
    for key in ("stdlib", "platstdlib", "purelib", "platlib")
    if (path := sysconfig.get_path(key))
)
#: We are there already, wherever we were imported from.
_OURS = str(Path(__file__).resolve().parents[1])


def program_modules() -> dict[str, tuple[bool, bytes]]:
    """Name -> (is a package, source) of every imported module that is the program's own.

    Raises:
        Unpicklable: they are too large to be sent.
    """
    found: dict[str, tuple[bool, bytes]] = {}
    size = 0
    for name, module in sorted(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if name == "__main__" or not isinstance(path, str) or not path.endswith(".py"):
            continue
        if _is_installed(path):
            continue
        try:
            found_at = os.stat(path)
            source = _source(path, found_at.st_mtime_ns, found_at.st_size)
        except OSError:
            continue
        size += len(source)
        if size > SOURCES_MAX_BYTES:
            raise Unpicklable(
                f"the modules of this program are over {SOURCES_MAX_BYTES >> 20} MiB of source"
                f" (at {path}). Install them on the machines: packages = in covey.toml",
                what=name,
            )
        found[name] = (hasattr(module, "__path__"), source)
    return found


@lru_cache(SOURCES_KEPT_MAX)
def _source(path: str, _changed_ns: int, _size: int) -> bytes:
    # A closure travels with each call: its program is not read from the disk each time.
    return Path(path).read_bytes()


@cache
def _is_installed(path: str) -> bool:
    real = str(Path(path).resolve())
    return (
        "site-packages" in real or "dist-packages" in real or real.startswith((*_INSTALLED, _OURS))
    )
