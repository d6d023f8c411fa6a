"""`--persist`: what a machine starts by itself after it was switched off and on.

A user unit of systemd, where one is running and may linger; else a line in the crontab. Keys of an
agent that is started so are in a private directory of the local disk (protocol.md rule 38), since
nobody brings them after a reboot; an agent then waits for its tunnel.

The texts are made by pure functions; `install` and `remove` also serve the head.
"""

import contextlib
import getpass
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from covey.agent.machine import MachineOrder, cache_of, order_line, read_order
from covey.agent.made import NAME, make_dirs
from covey.bus.record import write_private
from covey.errors import BootstrapFailed, StartFailed
from covey.files.mounts import file_system_of, is_network
from covey.files.private import check_private, make_private

#: systemctl, loginctl and crontab answer within some 0.1 s.
TOOL_MAX_S = 20.0

_UNITS = Path(".config/systemd/user")
_ORDER = "order.json"
#: Programs that systemd can be told as they are.
_PLAIN = re.compile(r"/[\w/.+-]+\Z", re.ASCII)


def unit_text(argv: list[str], what: str) -> str:
    """A user unit that runs `argv` at boot. It starts a process that stays, and then ends."""
    if not _PLAIN.match(argv[0]):
        # systemd takes few names of programs; a shell takes all.
        argv = ["/bin/sh", "-c", 'exec "$0" "$@"', *argv]
    return "\n".join(
        [
            "[Unit]",
            f"Description=covey: {what}",
            "",
            "[Service]",
            "Type=oneshot",
            "RemainAfterExit=yes",
            # What it started lives in this unit.
            "KillMode=control-group",
            "TimeoutStartSec=120",
            f"ExecStart={' '.join(map(_for_systemd, argv))}",
            "",
            "[Install]",
            "WantedBy=default.target",
            "",
        ]
    )


def crontab_line(argv: list[str], mark: str) -> str:
    """A line that runs `argv` at boot, under cron's bare environment."""
    # A percent sign ends a command of cron's.
    command = " ".join(map(shlex.quote, argv)).replace("%", "\\%")
    return f"@reboot {command} >/dev/null 2>&1 # {mark}"


def without_line(crontab: str, mark: str) -> str:
    """The crontab without our line."""
    lines = crontab.splitlines(keepends=True)
    return "".join(line for line in lines if not line.rstrip("\n").endswith(f" # {mark}"))


def install(name: str, argv: list[str], what: str, made: Path | None = None) -> str:
    """Have `argv` run at every boot; a note for the user ("" = nothing to be said).

    name: unique among covey's of this account, as `covey-default.lab1`. made: the file that notes
    which directories were not there before.

    Raises:
        StartFailed: there is neither systemd nor cron for us.
    """
    if _has_systemd():
        directory = Path.home() / _UNITS
        make_dirs(directory, made)
        (directory / f"{name}.service").write_text(unit_text(argv, what))
        _tool("systemctl", "--user", "daemon-reload")
        make_dirs(directory / "default.target.wants", made)
        _tool("systemctl", "--user", "enable", f"{name}.service")
        if _tool("loginctl", "enable-linger") is None:
            return (
                f"it starts at your next login only, not at boot: as root there: loginctl"
                f" enable-linger {getpass.getuser()}"
            )
        return ""
    if shutil.which("crontab") is None:
        raise StartFailed(
            "nothing there starts programs at boot for you: neither systemd for users nor crontab",
            what="persist",
        )
    old = _tool("crontab", "-l") or ""
    new = without_line(old, name)
    if new and not new.endswith("\n"):
        new += "\n"
    if _tool("crontab", "-", stdin=f"{new}{crontab_line(argv, name)}\n") is None:
        raise StartFailed("crontab does not take a line of ours (cron.allow?)", what="persist")
    return ""


def remove(name: str) -> bool:
    """Undo `install`; whether there was anything."""
    unit = Path.home() / _UNITS / f"{name}.service"
    was_there = unit.exists()
    if was_there:
        _tool("systemctl", "--user", "disable", f"{name}.service")
        unit.unlink(missing_ok=True)
        (unit.parent / "default.target.wants" / unit.name).unlink(missing_ok=True)
        _tool("systemctl", "--user", "daemon-reload")
    old = (_tool("crontab", "-l") or "") if shutil.which("crontab") else ""
    new = without_line(old, name)
    if new == old:
        return was_there
    if new:
        _tool("crontab", "-", stdin=new)
    else:
        _tool("crontab", "-r")
    return True


# ---------------------------------------------------------------- agents


def keep(order: MachineOrder, archive: Path) -> tuple[str, ...]:
    """Have this agent started at every boot; notes for the user.

    Raises:
        BootstrapFailed: there is no safe place for its keys.
        StartFailed: as `install`.
    """
    directory = _key_dir(order.cluster, order.agent)
    make_private(directory)
    write_private(directory / _ORDER, order_line(order).decode())
    argv = [sys.executable, "-P", str(archive), "--on-machine", "boot", order.cluster, order.agent]
    note_of_dirs = cache_of(order.cluster) / NAME
    note = install(_name(order.cluster, order.agent), argv, f"agent {order.agent}", note_of_dirs)
    return (note,) if note else ()


def kept_order(cluster: str = "", agent: str = "") -> MachineOrder:
    """What `keep` kept.

    Raises:
        BootstrapFailed: nothing is.
    """
    for directory in _key_dirs(cluster, agent):
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError, StartFailed):
            check_private(directory)
            return read_order((directory / _ORDER).read_bytes())
    raise BootstrapFailed(f"no keys of agent {agent} are kept here: covey up --persist")


def forget(cluster: str, agent: str) -> bool:
    """Undo `keep`; whether there was anything."""
    was_there = False
    for directory in _key_dirs(cluster, agent):
        was_there = was_there or directory.is_dir()
        shutil.rmtree(directory, ignore_errors=True)
    # Not asked of systemd and cron unless need be: that takes longer than all the rest.
    return was_there and (remove(_name(cluster, agent)) or True)


def _name(cluster: str, agent: str) -> str:
    # Names hold dashes, but no dots.
    return f"covey-{cluster}.{agent}"


def _key_dirs(cluster: str, agent: str) -> list[Path]:
    """Where keys may be. /var/tmp outlives a reboot; /run/user is better than a network."""
    uid = os.getuid()
    return [
        Path(f"/var/tmp/covey-{uid}-{cluster}.{agent}"),
        Path(f"/run/user/{uid}/covey-{cluster}.{agent}"),
    ]


def _key_dir(cluster: str, agent: str) -> Path:
    kinds: list[str] = []
    for directory in _key_dirs(cluster, agent):
        kind = file_system_of(directory.parent)
        if directory.parent.is_dir() and not is_network(kind):
            return directory
        kinds.append(f"{directory.parent}: {kind or 'not there'}")
    raise BootstrapFailed(
        f"keys of a persistent agent never lie on a network ({', '.join(kinds)})",
        remedy="bring it up without --persist",
    )


# ---------------------------------------------------------------- inside


def _has_systemd() -> bool:
    return _tool("systemctl", "--user", "show-environment") is not None


def _tool(*argv: str, stdin: str = "", env: Mapping[str, str] | None = None) -> str | None:
    """What a program printed; None: it is not there, or failed."""
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TOOL_MAX_S,
            env=env,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def _for_systemd(word: str) -> str:
    """A word of ExecStart: quoted, and nothing in it expanded."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'
