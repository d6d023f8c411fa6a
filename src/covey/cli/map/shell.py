"""Which shell runs the commands of `covey map`, and which words only that shell knows."""

from collections.abc import Mapping
from typing import NamedTuple

#: Shells that read no start-up file for `-c`, and split words alike.
PLAIN_SHELLS = frozenset({"sh", "bash", "dash", "ash", "busybox", "ksh", "mksh"})
#: Variables that make such a shell read a start-up file after all.
START_UP = ("BASH_ENV", "ENV")
_FUNCTION = "BASH_FUNC_"


class Shell(NamedTuple):
    """The shell, and its exported functions (None = only it may run anything)."""

    path: str
    functions: tuple[bytes, ...] | None


def shell_of(env: Mapping[str, str]) -> Shell:
    """The shell of the caller: $PARALLEL_SHELL, else $SHELL, else /bin/sh.

    A command without shell syntax is run directly, unless its shell would read a start-up file
    first, where its words may get another meaning; or unless it names an exported function of bash.
    """
    path = env.get("PARALLEL_SHELL") or env.get("SHELL") or "/bin/sh"
    name = path.rpartition("/")[2]
    if name not in PLAIN_SHELLS or any(env.get(variable) for variable in START_UP):
        return Shell(path, None)
    functions = [
        key.removeprefix(_FUNCTION).rpartition("%%")[0] or key.removeprefix(_FUNCTION)
        for key in env
        if key.startswith(_FUNCTION)
    ]
    return Shell(path, tuple(word.encode("utf-8", "surrogateescape") for word in functions))
