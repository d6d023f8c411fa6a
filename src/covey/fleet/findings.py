"""What `covey doctor` makes of what it saw on a machine. Pure: facts in, sentences out."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from covey.files.mounts import is_network
from covey.fleet.probe import PYTHON_MIN

#: Less room than this in a home: the archive, logs and staged files do not fit.
DISK_MIN_BYTES = 100_000_000
#: Less than this is said.
DISK_SHORT_BYTES = 1_000_000_000
#: A clock that is further off is said; covey works with any (no rule depends on it).
SKEW_MAX_S = 5.0
#: sshd's own limit of connections that are not logged in yet; `up` is ramped for it.
STARTUPS_USUAL = 10


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    check: str
    #: `note`: good to know. `warning`: works, but not as well as it could. `wrong`: does not work.
    state: Literal["ok", "note", "warning", "wrong"]
    text: str
    #: What mends it: a command, or what to write where.
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a machine said of itself, and what was tried on it."""

    name: str
    #: Key -> values, as `examining.EXAMINE` prints them.
    said: Mapping[str, Sequence[str]]
    #: What a shell wrote before it came to our command.
    noise: str
    #: Seconds by which its clock is ahead of ours.
    skew_s: float
    #: Why a unix socket, a TCP port cannot be forwarded ("" = it can).
    socket_refused: str = ""
    port_refused: str = ""
    #: Connections that its sshd closed before one was let in.
    closed: int = 0
    #: Other machines that find the same home.
    same_home: tuple[str, ...] = ()
    #: The Python that the inventory names ("" = whichever is there).
    wanted_python: str = ""

    def one(self, key: str) -> str:
        """The last value of a key, "" for none."""
        values = self.said.get(key, ())
        return values[-1] if values else ""


def findings(facts: Facts) -> list[Finding]:
    """All that is to be said of a machine that let us in."""
    looked = [
        _python(facts),
        _home(facts),
        _disk(facts),
        _clock(facts),
        _forwarding(facts),
        _startups(facts),
        _linger(facts),
        _noise(facts),
        _user(facts),
        _shared(facts),
    ]
    return [finding for finding in looked if finding is not None]


def _python(facts: Facts) -> Finding:
    seen: dict[str, str] = {}
    for line in facts.said.get("python", ()):
        command, _, version = line.rpartition(" ")
        seen[command] = version
    good = {command: v for command, v in seen.items() if _version(v) >= PYTHON_MIN}
    listed = ", ".join(f"{command} is {version}" for command, version in seen.items())
    needed = ".".join(map(str, PYTHON_MIN))
    if good:
        first = next(iter(good))
        return Finding("python", "ok", f"{first} is {good[first]} (of: {listed})")
    remedy = (
        f"install python{needed} or newer there (without root: uv python install {needed}), then"
        " name it: python = in covey.toml"
    )
    if seen:
        return Finding("python", "wrong", f"too old ({needed} needed): {listed}", remedy)
    what = facts.wanted_python or "python3"
    return Finding("python", "wrong", f"there is no {what}", remedy)


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def _home(facts: Facts) -> Finding:
    home, kind = facts.one("home"), facts.one("fs")
    if refused := facts.one("refused"):
        reason = refused.rpartition(": ")[2]
        remedy = "make it writable, or use an account whose home is"
        if "space" in reason.lower() or "quota" in reason.lower():
            remedy = f"free some space there: du -xsh {home}/.cache {home}/* | sort -h"
        return Finding("home", "wrong", f"{home} cannot be written: {reason}", remedy)
    where = f" ({kind}, over the network)" if kind and is_network(kind) else ""
    return Finding("home", "ok", f"{home} can be written{where}")


def _disk(facts: Facts) -> Finding | None:
    places: dict[str, int] = {}
    for line in facts.said.get("disk", ()):
        kilobytes, _, path = line.partition(" ")
        if kilobytes.isdigit():
            places[path] = 1024 * int(kilobytes)
    if not places:
        return None
    listed = ", ".join(f"{size / 1e9:.1f} GB in {path}" for path, size in places.items())
    path, least = min(places.items(), key=lambda place: place[1])
    remedy = f"free some space in {path}: du -xh {path} | sort -h | tail"
    if least < DISK_MIN_BYTES:
        return Finding("disk", "wrong", f"full: {listed} free", remedy)
    if least < DISK_SHORT_BYTES:
        return Finding("disk", "warning", f"little room: {listed} free", remedy)
    return Finding("disk", "ok", f"{listed} free")


def _clock(facts: Facts) -> Finding | None:
    if not facts.one("now"):
        return None
    off_s = facts.skew_s
    if abs(off_s) <= SKEW_MAX_S:
        return Finding("clock", "ok", "its clock is right")
    how = "ahead" if off_s > 0 else "behind"
    text = f"its clock is {_span(abs(off_s))} {how}: covey does not mind, file times are wrong"
    return Finding("clock", "warning", text, "run there: sudo timedatectl set-ntp true")


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _forwarding(facts: Facts) -> Finding:
    reload = "then: sudo systemctl reload ssh"
    if not facts.socket_refused:
        return Finding("forwarding", "ok", "unix sockets can be forwarded")
    if not facts.port_refused:
        return Finding(
            "forwarding",
            "note",
            "unix sockets cannot be forwarded: the bus comes by a loopback port, with TLS",
            f"AllowStreamLocalForwarding yes in its sshd_config, {reload}",
        )
    return Finding(
        "forwarding",
        "wrong",
        "nothing can be forwarded, so its agent cannot reach the bus",
        f"AllowTcpForwarding yes in its sshd_config, {reload}",
    )


def _startups(facts: Facts) -> Finding:
    found = facts.one("maxstartups")
    if facts.closed:
        return Finding(
            "startups",
            "warning",
            f"its sshd closed {facts.closed} connections before it let one in (MaxStartups)",
            "MaxStartups 30:30:100 in its sshd_config, then: sudo systemctl reload ssh",
        )
    first = re.match(r"\d+", found)
    if first and int(first[0]) < STARTUPS_USUAL:
        return Finding(
            "startups",
            "warning",
            f"MaxStartups {found}: with many logins at once some are turned away",
            "MaxStartups 30:30:100 in its sshd_config, then: sudo systemctl reload ssh",
        )
    if first:
        return Finding("startups", "ok", f"MaxStartups {found}")
    return Finding("startups", "ok", "MaxStartups cannot be read; no connection was turned away")


def _linger(facts: Facts) -> Finding:
    state = facts.one("linger")
    if state == "no":
        user = facts.one("user")
        return Finding(
            "linger",
            "note",
            "what systemd starts for you ends with your last login: that is where `up --persist`"
            " needs lingering",
            f"run there: loginctl enable-linger {user}",
        )
    if state == "yes":
        return Finding("linger", "ok", "systemd keeps what you start (lingering is on)")
    return Finding("linger", "ok", "no systemd: `up --persist` uses crontab")


def _noise(facts: Facts) -> Finding:
    if not facts.noise.strip():
        return Finding("noise", "ok", "its shell starts silently")
    first = facts.noise.strip().splitlines()[0][:60]
    return Finding(
        "noise",
        "warning",
        f"its start-up files print {first!r}: covey skips it, scp and rsync do not",
        "at the top of ~/.bashrc there: case $- in *i*) ;; *) return ;; esac",
    )


def _user(facts: Facts) -> Finding | None:
    if facts.one("uid") != "0":
        return None
    text = "you log in as root, and tasks run as root"
    return Finding("user", "note", text, "a user of its own is safer: USER@MACHINE")


def _shared(facts: Facts) -> Finding | None:
    if not facts.same_home:
        return None
    others = ", ".join(facts.same_home)
    text = f"it shares its home with {others}: each agent keeps to a directory of its own"
    return Finding("shared-home", "note", text)
