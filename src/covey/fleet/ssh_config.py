"""The names that the user's ssh_config knows, for patterns (`covey up 'lab*'`) and completion.

Only names are read here; how a machine is reached is ssh's own business.
"""

import glob
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

#: ssh itself follows Include no deeper than this.
INCLUDE_DEPTH_MAX = 16

_WORDS = re.compile(r"\s*(\w+)(?:\s*=\s*|\s+)(.*)\Z")


def ssh_names(env: Mapping[str, str]) -> list[str]:
    """The names of all `Host` lines that are no patterns, in their order."""
    home = Path(env.get("HOME") or Path.home())
    return list(dict.fromkeys(_names(_config_file(env, home), home, 0)))


def _config_file(env: Mapping[str, str], home: Path) -> Path:
    try:
        words = shlex.split(env.get("COVEY_SSH_COMMAND", ""))
    except ValueError:
        words = []
    for word, after in zip(words, [*words[1:], ""], strict=False):
        if word.startswith("-F"):
            return Path(word[2:] or after).expanduser()
    return home / ".ssh" / "config"


def _names(file: Path, home: Path, depth: int) -> Iterator[str]:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        found = _WORDS.match(line)
        if found is None:
            continue
        keyword, rest = found[1].lower(), found[2].strip()
        if keyword == "host":
            yield from (
                name for name in rest.replace('"', "").split() if not set(name) & set("*?!")
            )
        elif keyword == "include" and depth < INCLUDE_DEPTH_MAX:
            for pattern in rest.replace('"', "").split():
                expanded = pattern.replace("~", str(home), 1) if pattern[0] == "~" else pattern
                for one in sorted(glob.glob(str(home / ".ssh" / expanded))):
                    yield from _names(Path(one), home, depth + 1)
