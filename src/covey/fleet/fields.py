"""What can be said of a machine, and what may stand there. Pure.

The same keys in covey.toml, in the columns of a CSV and as variables of an Ansible inventory. What
passes here may later be an argument of ssh or part of a command: nothing begins with `-`, nothing
holds a control character. Readers raise ValueError, whose text is the reason.
"""

import ipaddress
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

#: What a field holds once it was read.
Value = str | int | float | tuple[str, ...]

#: Longest part of somebody's text that is repeated in a message.
SHOWN_MAX = 60
#: Longest value of any field.
VALUE_MAX = 1024
#: More weight than this against a machine of weight 1 is a slip.
WEIGHT_MAX = 1_000_000.0
#: Highest TCP port.
PORT_MAX = 65_535

_HOST_NAME = re.compile(r"[^\W-][\w.-]{0,254}\Z")
#: Looks like an IPv4 address, and must be one then.
_NUMBERS = re.compile(r"[0-9]+(?:\.[0-9]+){3,}\Z")
_ZONE = re.compile(r"[\w.-]{1,32}\Z")
_USER = re.compile(r"[^\W-][\w.@+-]{0,63}\$?\Z")
_SLOTS = re.compile(r"(?:[+-]?[0-9]{1,6}%?|physical)\Z")
_LABEL = re.compile(r"\w[\w.+-]{0,63}\Z")


def shown(text: object) -> str:
    """Somebody's text for a message: in quotes, without control characters, not too long."""
    whole = str(text)
    return repr(whole if len(whole) <= SHOWN_MAX else whole[: SHOWN_MAX - 1] + "…")


def read_address(value: object) -> str:
    """A name of ssh_config, a host name, an IP address (IPv6 with or without brackets)."""
    text = _text(value, "address")
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    if _NUMBERS.match(bare):
        try:
            return str(ipaddress.IPv4Address(bare))
        except ValueError:
            raise ValueError(
                f"{shown(text)} is no IP address: four numbers from 0 to 255, without leading zeros"
            ) from None
    if _HOST_NAME.match(bare):
        return bare
    address, percent, zone = bare.partition("%")
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        raise ValueError(f"{shown(text)} is no host name or address{_why(text)}") from None
    if percent and not _ZONE.match(zone):
        raise ValueError(f"{shown(text)}: behind % stands the name of a network interface")
    return bare


def _why(text: str) -> str:
    if not text:
        return ""
    if text[0] in "-.":
        return f": it begins with {text[0]}"
    odd = next((letter for letter in text if not re.match(r"[\w.-]", letter)), "")
    if not odd:
        return " (at most 255 letters)"
    return f": a {'blank' if odd == ' ' else shown(odd)} cannot stand in one"


def read_user(value: object) -> str:
    """A user name."""
    text = _text(value, "user")
    if ":" in text:
        # Never repeat it: what stands behind the colon may be a password.
        raise ValueError(
            "a password does not belong into a list — remove it, and bring your key onto the"
            " machines with: covey up --ask-password"
        )
    if not _USER.match(text):
        raise ValueError(f"{shown(text)} is no user name")
    return text


def is_user_name(text: str) -> bool:
    """Whether somebody may be called so."""
    return _USER.match(text) is not None


def read_port(value: object) -> int:
    """A TCP port."""
    text = _text(value, "port")
    if re.fullmatch("[0-9]{1,5}", text) and 1 <= int(text) <= PORT_MAX:
        return int(text)
    raise ValueError(f"{shown(text)} is no port — a number from 1 to {PORT_MAX}")


def read_slots(value: object) -> str:
    """Slots, as `--slots` takes them."""
    text = _text(value, "slots")
    if not _SLOTS.match(text):
        raise ValueError(f"{shown(text)} is no number of slots — N, N%, +N, -N or physical")
    return text


def read_weight(value: object) -> float:
    """A share against the others."""
    text = _text(value, "weight")
    try:
        weight = float(text)
    except ValueError:
        weight = math.nan
    if 0 < weight <= WEIGHT_MAX:
        return weight
    raise ValueError(f"{shown(text)} is no weight — a number above 0, such as 0.5 or 2")


def read_python(value: object) -> str:
    """Command or path of a Python."""
    return _no_option(_text(value, "python"), "python")


def read_workdir(value: object) -> str:
    """A directory on the machine."""
    return _no_option(_text(value, "workdir"), "workdir")


def read_packages(value: object) -> tuple[str, ...]:
    """Requirements as pip writes them: a list, or words."""
    return tuple(_no_option(one, "packages") for one in _words(value, "packages", r"\s+"))


def read_labels(value: object) -> tuple[str, ...]:
    """Names of groups: a list, or words."""
    labels = _words(value, "groups", r"[\s,;]+")
    for label in labels:
        if not _LABEL.match(label):
            raise ValueError(f"{shown(label)} is no name of a group — letters, digits, - _ . +")
    return tuple(dict.fromkeys(labels))


def read_group(value: str) -> str:
    """Name of one group."""
    labels = read_labels(value)
    if len(labels) != 1:
        raise ValueError("one group at a time, such as gpu=local1,local2")
    return labels[0]


def _text(value: object, key: str) -> str:
    """A value as text: TOML gives numbers, the others text."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{key} is text or a number, not {shown(value)}")
    text = str(value).strip() if isinstance(value, str) else str(value)
    if not text:
        raise ValueError(f"{key} is empty")
    if len(text) > VALUE_MAX:
        raise ValueError(f"{key} is longer than {VALUE_MAX} letters")
    if not text.isprintable():
        raise ValueError(f"{shown(text)}: a control character cannot stand in {key}")
    return text


def _no_option(text: str, key: str) -> str:
    if text.startswith("-"):
        raise ValueError(f"{shown(text)}: {key} cannot begin with -")
    return text


def _words(value: object, key: str, separator: str) -> list[str]:
    if isinstance(value, list | tuple):
        return [_text(one, key) for one in cast("Sequence[object]", value)]
    return [word for word in re.split(separator, _text(value, key)) if word]


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that can be said of a machine."""

    read: Callable[[object], Value]
    #: For the reference page of covey.toml.
    sentence: str
    example: str


#: Key -> what it takes.
FIELDS: dict[str, Field] = {
    "address": Field(
        read_address,
        "What ssh is called with: a name of ssh_config, a host name, an IP address. Not said: the"
        " machine's name.",
        '"192.168.1.7"',
    ),
    "user": Field(read_user, "The user to log in as. Not said: ssh_config decides.", '"pi"'),
    "port": Field(read_port, "The port of its sshd. Not said: ssh_config decides.", "2222"),
    "slots": Field(
        read_slots,
        "How many tasks run at once: a number, `50%` of its CPUs, `+1`, `-1`, `physical`. Not said:"
        " the CPUs that may be used there.",
        "4",
    ),
    "groups": Field(
        read_labels, "The groups it is in: `--limit @pis` takes them.", '["pis", "kitchen"]'
    ),
    "weight": Field(
        read_weight, "Its share of files against machines of weight 1. Not said: 1.", "2.0"
    ),
    "python": Field(
        read_python,
        "Command or path of the Python that runs the agent. Not said: the first of `python3`,"
        " `python3.14` … `python3.11` that is new enough.",
        '"/opt/python/bin/python3"',
    ),
    "workdir": Field(
        read_workdir, "The directory in which its tasks begin. Not said: the home.", '"~/work"'
    ),
    "packages": Field(
        read_packages,
        "What pip installs for its tasks, once, in an environment of their own.",
        '["numpy==2.1.*", "pillow"]',
    ),
}
