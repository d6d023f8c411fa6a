"""One word that names machines: `lab1`, `8/pi@rack:2222`, `lab[01:10]`, `[::1]:22`. Pure.

    WORD    = LOGIN ["," LOGIN]…
    LOGIN   = ["@" GROUP ["+" GROUP]… "/"] [SLOTS "/"] [USER "@"] ADDRESS [":" PORT]
    ADDRESS = host name, name of ssh_config, IPv4 address, IPv6 address or [IPv6 address]

It is GNU parallel's --sshlogin with a port. `lab[01:10]`, `lab[1:9:2]` and `lab[a:f]` are ranges,
as in an Ansible inventory.
"""

import ipaddress
import itertools
import re

from covey.fleet.fields import (
    Value,
    read_address,
    read_labels,
    read_port,
    read_slots,
    read_user,
    shown,
)
from covey.fleet.listing import LINE_MAX, MACHINES_MAX, Entry, Listing, Place

#: Most letters of a machine's name (it is one token of a bus subject).
NAME_MAX = 64
#: Where sshd listens unless somebody says otherwise.
SSH_PORT = 22

_RANGE = re.compile(r"\[(?:([0-9]{1,9}):([0-9]{1,9})|([a-zA-Z]):([a-zA-Z]))(?::([0-9]{1,9}))?\]")
_COMMA_OUTSIDE = re.compile(r",(?![^\[]*\])")
_FILE = re.compile(r"(?:~|\.{1,2})?/|.*\.(?:txt|conf|csv|ini|ya?ml|toml)\Z")


def read_word(word: str, place: Place, listing: Listing) -> list[Entry]:
    """The machines that a word names; what is wrong with it goes to the listing."""
    entries: list[Entry] = []
    if len(word) > LINE_MAX:
        listing.bad(place, f"{shown(word)} is longer than {LINE_MAX:,} letters")
        return entries
    for login in _COMMA_OUTSIDE.split(word):
        try:
            for one in expanded(login):
                entries.append(_entry(one, place))
        except ValueError as error:
            listing.bad(place, str(error))
    return entries


def expanded(word: str) -> list[str]:
    """The words that the ranges of a word stand for; itself when it has none.

    Raises:
        ValueError: a range goes backwards, or they name too many machines.
    """
    pieces: list[list[str]] = []
    count, end = 1, 0
    for found in _RANGE.finditer(word):
        steps = _steps(found)
        count *= len(steps)
        if count > MACHINES_MAX:
            raise ValueError(f"{shown(word)} names more than {MACHINES_MAX:,} machines")
        pieces += [[word[end : found.start()]], steps]
        end = found.end()
    pieces.append([word[end:]])
    return ["".join(parts) for parts in itertools.product(*pieces)]


def _steps(found: re.Match[str]) -> list[str]:
    first, last, first_letter, last_letter, step_text = found.groups()
    step = int(step_text or 1)
    if first_letter:
        first_number, last_number = ord(first_letter), ord(last_letter)
    else:
        first_number, last_number = int(first), int(last)
    if step < 1 or last_number < first_number:
        raise ValueError(f"the range {found[0]} ends before it begins")
    numbers = range(first_number, last_number + 1, step)
    if len(numbers) > MACHINES_MAX:
        raise ValueError(f"the range {found[0]} names more than {MACHINES_MAX:,} machines")
    return [chr(n) if first_letter else str(n).zfill(len(first)) for n in numbers]


def _entry(login: str, place: Place) -> Entry:
    if login.rpartition("/")[2] == ":":
        raise ValueError("`:` is this machine — machines here come from: covey up --local N")
    if _FILE.match(login):
        raise ValueError(f"{shown(login)} is no machine; a file is named with: -H FILE")
    rest, fields, labels = login, dict[str, Value](), ()
    while "/" in rest:
        prefix, _, rest = rest.partition("/")
        if prefix.startswith("@"):
            labels = read_labels(tuple(prefix[1:].split("+")))
        elif "slots" in fields or not re.match(r"[0-9+-]|physical\Z", prefix):
            raise ValueError(
                f"{shown(login)} is no machine — 8/user@host:port has its slots before the /"
            )
        else:
            fields["slots"] = read_slots(prefix)
    user, at, target = rest.rpartition("@")
    if at:
        fields["user"] = read_user(user)
    written, port = _address_and_port(target, login)
    address = read_address(written)
    if port is not None:
        fields["port"] = read_port(port)
    name = name_of(address, fields.get("port"))
    if not name:
        raise ValueError(f"{shown(login)} has no letter that can be in a name")
    return Entry(place, name, fields, labels=labels, fallback=address)


def _address_and_port(target: str, login: str) -> tuple[str, str | None]:
    if not target:
        raise ValueError(f"{shown(login)} names no machine")
    if target.startswith("["):
        address, bracket, port = target.partition("]")
        if bracket and (not port or port.startswith(":")):
            return address + bracket, port[1:] if port else None
        return target, None
    if target.count(":") > 1:
        return target, None
    address, colon, port = target.partition(":")
    return address, port if colon else None


def name_of(address: str, port: Value | None = None) -> str:
    """What a machine is called whose address is all that is known.

    Letters that a bus subject cannot hold become dashes. An IP address keeps its port: several
    machines behind one address are told apart by it.
    """
    kept = f":{port}" if port and port != SSH_PORT else ""
    if ":" in address:
        return slug(f"ip6-{address.strip(':')}{kept}")
    if _is_ip(address) or address == "localhost":
        return slug(address + kept)
    return slug(address)


def slug(text: str) -> str:
    """A name for the machine that somebody calls `text`; "" = nothing of it can be in a name."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")[:NAME_MAX]


def _is_ip(address: str) -> bool:
    try:
        ipaddress.IPv4Address(address)
    except ValueError:
        return False
    return True
